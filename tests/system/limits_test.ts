import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";
import { UUID } from "../support/uuid.ts";

const CLIENT = "the-token-of-a-client";
const ADMIN = "the-token-of-the-operator";

/** Opens a raw connection, to send requests that no HTTP client sends. */
async function connect(server: TestServer): Promise<Deno.Conn> {
  const { hostname, port } = new URL(server.url);
  return await Deno.connect({ hostname, port: Number(port) });
}

async function send(connection: Deno.Conn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

/** Reads until the text contains `end`, or until the server closes the connection. */
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
    // The server resets the connection if data arrives after it has closed its side.
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  return text;
}

/** Sends as much of the text as the server accepts, and reads the response until the server closes the connection. */
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

Deno.test("limits › hostile connections do not affect other clients", async (t) => {
  // Long enough to receive the bodies of `alive` during all of this.
  await using server = await TestServer.quick({ BODY_TIMEOUT_MS: "3000", CACHE_STORE: "memory" });
  const image = await discImage(1);
  await server.cutout("a.png", image);
  const alive = async () => assert.match((await server.cutout("a.png", image)).cacheStatus, /hit; detail=memory/);

  await t.step("a body that does not arrive gets 408, in the format of the API", async () => {
    const stalled = ["Content-Length: 100", "Content-Length: 9000000", "Transfer-Encoding: chunked"];
    await Promise.all(stalled.map(async (length) => {
      using connection = await connect(server);
      await send(connection, `${POST}${length}\r\n\r\n${length.startsWith("T") ? "1\r\n{\r\n" : "{"}`);
      const response = await receive(connection, "}}");
      assert.match(response, /^HTTP\/1\.1 408 /);
      assert.match(response, /connection: close/i);
      assert.match(response, /"status":"ng".*"body_timeout"/);
    }));
    await alive();
  });

  await t.step("200 slow clients that declare 20 MB each do not hold up others", async () => {
    const connections = await Promise.all(Array.from({ length: 200 }, () => connect(server)));
    await Promise.all(connections.map((connection) => send(connection, `${POST}Content-Length: 20000000\r\n\r\n{"f`)));
    await alive();
    const responses = await Promise.all(connections.map((connection) => receive(connection, "}}")));
    for (const connection of connections) connection.close();
    assert.ok(responses.every((response) => response.startsWith("HTTP/1.1 408 ")));
  });

  await t.step("data after the declared length of a body is not treated as a request", async () => {
    const response = await exchange(server, `${POST}Content-Length: 2\r\n\r\n{}{"file_path":"a"} and more\r\n\r\n`);
    assert.match(response, /^HTTP\/1\.1 422 /);
    assert.match(response, /HTTP\/1\.1 400 [^]*connection: close\r\n\r\n$/);
    await alive();
  });

  await t.step("a body that ends before its declared length is a client error, not a server error", async () => {
    for (const length of [200, 2_000_000]) {
      using connection = await connect(server);
      await send(connection, `${POST}X-Request-Id: short-${length}\r\nContent-Length: ${length}\r\n\r\n{}`);
      await server.logged(({ request_id, message }) => request_id === `short-${length}` && message.startsWith("START"));
      await (connection as Deno.TcpConn).closeWrite();
      await server.logged(({ request_id, message }) => request_id === `short-${length}` && message.startsWith("END 4"));
    }
    await alive();
  });

  await t.step("contradictory lengths, absurd headers and data that is not HTTP get 400", async () => {
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

  await t.step(
    "1,000 idle connections, 200 of them in the middle of their headers, do not keep others out",
    async () => {
      const idle = await Promise.all(Array.from({ length: 1000 }, () => connect(server)));
      await Promise.all(idle.slice(0, 200).map((connection) => send(connection, "GET / HTTP/1.1\r\nHost: a\r\nX-")));
      await alive();
      assert.equal((await server.health()).engine.inferences, 1);
      for (const connection of idle) connection.close();
    },
  );

  await t.step("none of this is logged as an error or a warning", () => {
    assert.deepEqual(server.logs.filter(({ level }) => level !== "INFO" && level !== "info"), []);
  });
});

Deno.test("limits › with API_TOKENS, every route needs a token except those about the service", async (t) => {
  await using server = await TestServer.quick({
    API_TOKENS: `${CLIENT}, another-token-of-a-client`,
    ADMIN_TOKEN: ADMIN,
    CORS_ORIGINS: "https://example.com",
  });
  const image = await discImage(1);
  const predict = (fields: Record<string, string>) =>
    server.predict("a.png", image, { headers: { "Content-Type": "application/json", ...fields } });

  await t.step("a missing or invalid token gets 401, in the format of the API", async () => {
    for (const fields of [{}, { "X-Api-Key": `${CLIENT}x` }, { Authorization: "Bearer x" }]) {
      const { response, body } = await predict(fields as Record<string, string>);
      assert.equal(response.status, 401);
      assert.match(response.headers.get("WWW-Authenticate")!, /^Bearer/);
      assert.deepEqual([body.status, body.error?.code], ["ng", "unauthorized"]);
    }
    for (const path of ["/", "/health", "/metadata"]) {
      const response = await server.fetch(path);
      await response.body?.cancel();
      assert.equal(response.status, 200, path);
    }
  });

  await t.step("every token is accepted, including the operator's, and responses are private", async () => {
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
    assert.equal(cache.status, 401, "only the operator may read the cache");
  });

  await t.step("a preflight needs no token, and the page can read a refusal", async () => {
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

  await t.step("a harmless X-Request-Id is adopted, and identifies the request in the log", async () => {
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

Deno.test("limits › all instances share the counts of RATE_LIMIT, and without Redis they still serve", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const settings = { ...gateway.environment, RATE_LIMIT: "3/1d" };
  await using first = await TestServer.quick(settings);
  await using second = await TestServer.quick(settings);
  const get = async (server: TestServer) => {
    const response = await server.fetch(`/cutouts/${"0".repeat(64)}`);
    const { code } = await response.json();
    return { status: response.status, code, headers: response.headers };
  };
  assert.equal((await get(first)).headers.get("RateLimit-Remaining"), "2");
  assert.equal((await get(second)).headers.get("RateLimit-Remaining"), "1");
  assert.equal((await get(first)).status, 404);
  const refused = await get(second);
  assert.deepEqual([refused.status, refused.code], [429, "rate_limited"]);
  assert.equal(refused.headers.get("RateLimit-Limit"), "3");
  assert.ok(Number(refused.headers.get("Retry-After")) <= 86_401);
  assert.equal((await second.fetch("/metadata").then((r) => (r.body?.cancel(), r))).status, 200);

  await redis.kill();
  // This instance has allowed one of three requests, so the limit lets it pass; only the cache cannot answer.
  const { status, code } = await get(second);
  assert.deepEqual([status, code], [503, "store_unavailable"]);
});

Deno.test("limits › the server reports invalid tokens, rates and origins when it starts, and hides the tokens", async () => {
  const invalid = { API_TOKENS: `${CLIENT},short-one`, RATE_LIMIT: "60", CORS_ORIGINS: "example.com/" };
  await assert.rejects(() => TestServer.quick(invalid), (error: Error) => {
    assert.match(error.message, /API_TOKENS=\(hidden\): has fewer than 16 characters/);
    assert.match(error.message, /RATE_LIMIT="60": is not a rate/);
    assert.match(error.message, /CORS_ORIGINS="example.com\/": is not a list of origins/);
    assert.doesNotMatch(error.message, /short-one|the-token/);
    return true;
  });
});
