import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";
import { UUID } from "../support/uuid.ts";

const CLIENT = "the-token-of-a-client";
const ADMIN = "the-token-of-the-operator";

/** A connection of its own, for what no HTTP client sends. */
async function connect(server: TestServer): Promise<Deno.Conn> {
  const { hostname, port } = new URL(server.url);
  return await Deno.connect({ hostname, port: Number(port) });
}

async function send(connection: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

/** What comes until it holds `end`, or the server closes. */
async function receive(connection: Deno.Conn, end?: string): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(65_536);
  try {
    while (end === undefined || !text.includes(end)) {
      const length = await connection.read(buffer);
      if (length === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, length));
    }
  } catch (error) {
    // What was still on its way when the server closed is answered so.
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  return text;
}

/** Sends as much of it as the server takes, and gives what it answers until it closes. */
async function exchange(server: TestServer, text: string): Promise<string> {
  using connection = await connect(server);
  try {
    await send(connection, text);
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return await receive(connection);
}

const POST = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

Deno.test("limits › hostile connections do no harm", async (t) => {
  // Long enough for the bodies of `alive` to be read, whatever else comes in.
  await using server = await TestServer.quick({ BODY_TIMEOUT_MS: "3000", CACHE_STORE: "memory" });
  const image = await discImage(1);
  await server.cutout("a.png", image);
  const alive = async () => assert.match((await server.cutout("a.png", image)).cacheStatus, /hit; detail=memory/);

  await t.step("a body that does not arrive is answered 408, in the dialect's shape", async () => {
    const stalled = ["Content-Length: 100", "Content-Length: 9000000", "Transfer-Encoding: chunked"];
    await Promise.all(stalled.map(async (length) => {
      using connection = await connect(server);
      await send(connection, `${POST}${length}\r\n\r\n${length.startsWith("T") ? "1\r\n{\r\n" : "{"}`);
      const answer = await receive(connection, "}}");
      assert.match(answer, /^HTTP\/1\.1 408 /);
      assert.match(answer, /connection: close/i);
      assert.match(answer, /"status":"ng".*"body_timeout"/);
    }));
    await alive();
  });

  await t.step("200 slow senders that announce 20 MB each cost next to nothing", async () => {
    const connections = await Promise.all(Array.from({ length: 200 }, () => connect(server)));
    await Promise.all(connections.map((connection) => send(connection, `${POST}Content-Length: 20000000\r\n\r\n{"f`)));
    await alive();
    const answers = await Promise.all(connections.map((connection) => receive(connection, "}}")));
    for (const connection of connections) connection.close();
    assert.ok(answers.every((answer) => answer.startsWith("HTTP/1.1 408 ")));
  });

  await t.step("what comes beyond a body's declared length is not taken for a request", async () => {
    const answer = await exchange(server, `${POST}Content-Length: 2\r\n\r\n{}{"file_path":"a"} and more\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 422 /);
    assert.match(answer, /HTTP\/1\.1 400 [^]*connection: close\r\n\r\n$/);
    await alive();
  });

  await t.step("a body that ends before its declared length is the client's fault, not ours", async () => {
    for (const length of [200, 2_000_000]) {
      using connection = await connect(server);
      await send(connection, `${POST}X-Request-Id: short-${length}\r\nContent-Length: ${length}\r\n\r\n{}`);
      await server.logged(({ request_id, message }) => request_id === `short-${length}` && message.startsWith("START"));
      await (connection as Deno.TcpConn).closeWrite();
      await server.logged(({ request_id, message }) => request_id === `short-${length}` && message.startsWith("END 4"));
    }
    await alive();
  });

  await t.step("lengths that contradict each other, absurd headers and what is no HTTP are answered 400", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => `X-${i}: a\r\n`).join("");
    const absurd = [
      `${POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      `${POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${POST}Content-Length: -1\r\n\r\n{}`,
      `${POST}Content-Length: 99999999999999999999999\r\n\r\n{}`,
      `GET / HTTP/1.1\r\nHost: a\r\n${many}\r\n`,
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(2_000_000)}\r\n\r\n`,
      `GET /${"a".repeat(200_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ];
    for (const text of absurd) {
      assert.match(await exchange(server, text), /^HTTP\/1\.1 400 /, JSON.stringify(text.slice(0, 120)));
    }
    await alive();
  });

  await t.step("1,000 idle connections, and 200 in the middle of their headers, keep nobody out", async () => {
    const idle = await Promise.all(Array.from({ length: 1000 }, () => connect(server)));
    await Promise.all(idle.slice(0, 200).map((connection) => send(connection, "GET / HTTP/1.1\r\nHost: a\r\nX-")));
    await alive();
    assert.equal((await server.health()).engine.inferences, 1);
    for (const connection of idle) connection.close();
  });

  await t.step("none of that was a fault of ours", () => {
    assert.deepEqual(server.logs.filter(({ level }) => level !== "INFO" && level !== "info"), []);
  });
});

Deno.test("limits › with tokens, all but what the service tells of itself needs one", async (t) => {
  await using server = await TestServer.quick({
    API_TOKENS: `${CLIENT}, another-token-of-a-client`,
    ADMIN_TOKEN: ADMIN,
    CORS_ORIGINS: "https://example.com",
  });
  const image = await discImage(1);
  const body = JSON.stringify({ file_path: "a.png", img_base64: image.toBase64() });
  const predict = (fields: Record<string, string>) =>
    server.predict("a.png", image, { headers: { "Content-Type": "application/json", ...fields }, body });

  await t.step("no token and a wrong one are answered 401, in the dialect's shape", async () => {
    for (const fields of [{}, { "X-Api-Key": `${CLIENT}x` }, { Authorization: "Bearer x" }]) {
      const { response, answer } = await predict(fields as Record<string, string>);
      assert.equal(response.status, 401);
      assert.match(response.headers.get("WWW-Authenticate")!, /^Bearer/);
      assert.deepEqual([answer.status, answer.error?.code], ["ng", "unauthorized"]);
    }
    for (const path of ["/", "/health", "/metadata"]) {
      const response = await server.fetch(path);
      await response.body?.cancel();
      assert.equal(response.status, 200, path);
    }
  });

  await t.step("each token opens, and the operator's too; what they get is nobody else's", async () => {
    assert.equal((await predict({ Authorization: `Bearer ${CLIENT}` })).response.status, 200);
    assert.equal((await predict({ "X-Api-Key": "another-token-of-a-client" })).response.status, 200);
    assert.equal((await predict({ "X-Api-Key": ADMIN })).response.status, 200);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", image as BufferSource)).toHex();
    const cutout = await server.fetch(`/cutouts/${digest}`, { headers: { "X-Api-Key": CLIENT } });
    await cutout.body?.cancel();
    assert.equal(cutout.status, 200);
    assert.match(cutout.headers.get("Cache-Control")!, /^private, max-age=\d+, immutable$/);
    const cache = await server.fetch("/cache", { headers: { "X-Api-Key": CLIENT } });
    await cache.body?.cancel();
    assert.equal(cache.status, 401, "the cache is the operator's");
  });

  await t.step("a preflight needs none, and a refusal can be read by the page", async () => {
    const Origin = "https://example.com";
    const preflight = await server.fetch("/predict", {
      method: "OPTIONS",
      headers: { Origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("Access-Control-Allow-Headers"), "x-api-key");
    const { response } = await predict({ Origin });
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("Access-Control-Allow-Origin"), Origin);
  });

  await t.step("X-Request-Id is taken over where it is harmless, and names the job in the logs", async () => {
    const id = "trace-1.b_C";
    const own = await server.fetch("/", { headers: { "X-Request-Id": id } });
    await own.body?.cancel();
    assert.equal(own.headers.get("X-Request-Id"), id);
    await server.logged(({ request_id, message }) => request_id === id && message.startsWith("END 200"));
    for (const bad of ["a b", "a".repeat(65), "ä", '"']) {
      const response = await server.fetch("/", { headers: { "X-Request-Id": bad } }).catch(() => undefined);
      await response?.body?.cancel();
      if (response !== undefined) assert.match(response.headers.get("X-Request-Id")!, UUID);
    }
  });
});

Deno.test("limits › RATE_LIMIT counts clients together in all instances, and Redis away stops nobody", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const settings = { ...gateway.environment, RATE_LIMIT: "3/1d" };
  await using one = await TestServer.quick(settings);
  await using other = await TestServer.quick(settings);
  const ask = async (server: TestServer) => {
    const response = await server.fetch(`/cutouts/${"0".repeat(64)}`);
    const { code } = await response.json();
    return { status: response.status, code, headers: response.headers };
  };
  assert.equal((await ask(one)).headers.get("RateLimit-Remaining"), "2");
  assert.equal((await ask(other)).headers.get("RateLimit-Remaining"), "1");
  assert.equal((await ask(one)).status, 404);
  const refused = await ask(other);
  assert.deepEqual([refused.status, refused.code], [429, "rate_limited"]);
  assert.equal(refused.headers.get("RateLimit-Limit"), "3");
  assert.ok(Number(refused.headers.get("Retry-After")) <= 86_401);
  assert.equal((await other.fetch("/metadata").then((r) => (r.body?.cancel(), r))).status, 200);

  await redis.kill();
  assert.equal((await ask(other)).status, 404, "this instance has let through one of three");
});

Deno.test("limits › wrong tokens, rates and origins are named at the start, tokens without telling them", async () => {
  const wrong = { API_TOKENS: `${CLIENT},short-one`, RATE_LIMIT: "60", CORS_ORIGINS: "example.com/" };
  await assert.rejects(() => TestServer.quick(wrong), (error: Error) => {
    assert.match(error.message, /API_TOKENS=\(hidden\): has fewer than 16 characters/);
    assert.match(error.message, /RATE_LIMIT="60": is not a rate/);
    assert.match(error.message, /CORS_ORIGINS="example.com\/": is not a list of origins/);
    assert.doesNotMatch(error.message, /short-one|the-token/);
    return true;
  });
});
