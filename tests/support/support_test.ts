import assert from "node:assert/strict";
import { Redis } from "@upstash/redis";
import { RedisServer } from "./redis.ts";
import { ensureTool } from "./tools.ts";
import { noAnswer, UpstashGateway } from "./upstash_gateway.ts";

// These tests are about leaving nothing behind, so leaks count even without the options of `tests/run.ts`.
Deno.test.sanitizer({ ops: true, resources: true });

/** A Redis, a gateway in front of it, and the SDK as its client, which are disposed of together. */
async function service() {
  await using starting = new AsyncDisposableStack();
  const redis = starting.use(await RedisServer.start());
  const gateway = starting.use(await UpstashGateway.start({ redisUrl: redis.url }));
  const running = starting.move();
  return { redis, gateway, sdk: sdkOf(gateway), [Symbol.asyncDispose]: () => running.disposeAsync() };
}

function sdkOf(
  gateway: UpstashGateway,
  options: { token?: string; responseEncoding?: false; signal?: () => AbortSignal } = {},
) {
  return new Redis({ url: gateway.url, token: gateway.token, retry: false, enableTelemetry: false, ...options });
}

/** Sends a plain HTTP request to the gateway, and returns the status and the raw body. */
async function post(gateway: UpstashGateway, path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(gateway.url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${gateway.token}`, ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
}

Deno.test("tools › a tool that is installed is left alone", async () => {
  await ensureTool({ command: "sh", debianPackage: "no-such-package", purpose: "nothing" }, true);
});

Deno.test("tools › the error for a missing tool says what it is for and how to install it", async () => {
  const tool = { command: "no-such-tool", debianPackage: "no-such-package", purpose: "the tests of nothing" };
  await assert.rejects(ensureTool(tool, false), {
    message: "no-such-tool is missing; it is needed for the tests of nothing. " +
      "Install it with: sudo apt-get install no-such-package",
  });
});

Deno.test("redis › a started server responds and stores values", async () => {
  await using redis = await RedisServer.start();
  const client = await redis.client();
  assert.equal(await client.set("key", "value"), "OK");
  assert.equal(await client.get("key"), "value");
  client.destroy();
});

Deno.test("redis › a full server with an eviction policy evicts keys", async () => {
  await using redis = await RedisServer.start({ maxmemory: "3mb", policy: "allkeys-lru" });
  const client = await redis.client();
  for (let n = 0; n < 100; n++) await client.set(`key:${n}`, "x".repeat(100_000));
  const remaining = await client.dbSize();
  assert.ok(remaining > 0 && remaining < 100, `${remaining} keys remain`);
  client.destroy();
});

Deno.test("redis › a restarted server has the same port and no data", async () => {
  await using redis = await RedisServer.start();
  const { url } = redis;
  const before = await redis.client();
  await before.set("key", "value");
  await redis.restart();
  const after = await redis.client();
  assert.equal(redis.url, url);
  assert.equal(await after.get("key"), null);
  assert.equal(before.isOpen, false);
  after.destroy();
});

Deno.test("redis › with persistence, a restarted server still has its data", async () => {
  await using redis = await RedisServer.start({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
  const before = await redis.client();
  await before.set("key", "value");
  await redis.kill();
  await redis.restart();
  const after = await redis.client();
  assert.equal(await after.get("key"), "value");
  after.destroy();
});

Deno.test("redis › a stopped server leaves nothing behind and can be stopped again", async () => {
  const redis = await RedisServer.start();
  const client = await redis.client();
  const { dir } = await client.configGet("dir");
  client.destroy();
  await redis.stop();
  await redis.stop();
  await assert.rejects(Deno.connect({ port: redis.port }), Deno.errors.ConnectionRefused);
  await assert.rejects(Deno.stat(dir), Deno.errors.NotFound);
});

Deno.test("redis › a server that hangs can be stopped", async () => {
  await using redis = await RedisServer.start();
  const client = await redis.client();
  const hanging = assert.rejects(client.eval("while true do end"));
  await redis.stop();
  await hanging;
});

Deno.test("redis › a server that cannot start says why", async () => {
  await assert.rejects(RedisServer.start({ args: ["--no-such-option", "1"] }), /no-such-option/);
});

Deno.test("redis › a port that is in use is an error", async () => {
  await using redis = await RedisServer.start();
  await assert.rejects(RedisServer.start({ port: redis.port }), /Address already in use/);
});

Deno.test("gateway › a value with a time to live can be read until it expires", async () => {
  await using cache = await service();
  assert.equal(await cache.sdk.set("key", "välue", { ex: 60 }), "OK");
  assert.equal(await cache.sdk.get("key"), "välue");
  const remaining = await cache.sdk.ttl("key");
  assert.ok(remaining > 50 && remaining <= 60, `${remaining} s remain`);
  assert.equal(await cache.sdk.get("missing"), null);
});

Deno.test("gateway › without base64 the SDK reads the same values", async () => {
  await using cache = await service();
  const sdk = sdkOf(cache.gateway, { responseEncoding: false });
  assert.equal(await sdk.set("key", "välue"), "OK");
  assert.equal(await sdk.get("key"), "välue");
  assert.equal(await sdk.incr("count"), 1);
  assert.deepEqual(await sdk.mget("key", "missing"), ["välue", null]);
});

Deno.test("gateway › the base64 encoding applies to every string in a result, and to nothing else", async () => {
  await using cache = await service();
  const script = "return {'OK', 7, false, {'nested'}}";
  const plain = await post(cache.gateway, "/", ["EVAL", script, 0]);
  assert.equal(plain.body, '{"result":["OK",7,null,["nested"]]}');
  assert.equal(plain.type, "application/json");
  const base64 = { "Upstash-Encoding": "base64" };
  const encoded = await post(cache.gateway, "/", ["EVAL", script, 0], base64);
  assert.equal(encoded.body, '{"result":["T0s=",7,null,["bmVzdGVk"]]}');
  assert.equal((await post(cache.gateway, "/", ["SET", "key", "1"], base64)).body, '{"result":"T0s="}');
  assert.equal((await post(cache.gateway, "/", ["SET", "key", "1"])).body, '{"result":"OK"}');
  assert.deepEqual(await cache.sdk.eval(script, [], []), ["OK", 7, null, ["nested"]]);
});

Deno.test("gateway › bytes that are not UTF-8 work with base64 and fail without it", async () => {
  await using cache = await service();
  const script = "return '\\255\\0'";
  const encoded = await post(cache.gateway, "/", ["EVAL", script, 0], { "Upstash-Encoding": "base64" });
  assert.equal(encoded.body, '{"result":"/wA="}');
  assert.equal((await post(cache.gateway, "/", ["EVAL", script, 0])).status, 500);
});

Deno.test("gateway › a pipeline returns each command's result in its position", async () => {
  await using cache = await service();
  const pipeline = cache.sdk.pipeline().set("list", "x").lpush("list", "y").get("list").incr("count");
  const results = await pipeline.exec({ keepErrors: true });
  assert.deepEqual(results.map(({ result }) => result), ["OK", undefined, "x", 1]);
  assert.match(results[1].error!, /^WRONGTYPE/);
  assert.equal((await post(cache.gateway, "/pipeline", [["GET", "list"], ["NOSUCH"]])).status, 200);
});

Deno.test("gateway › a transaction returns each command's result in its position", async () => {
  await using cache = await service();
  const results = await cache.sdk.multi().set("key", "välue").incr("count").get("key").exec();
  assert.deepEqual(results, ["OK", 1, "välue"]);
});

Deno.test("gateway › a transaction with a malformed command does nothing", async () => {
  await using cache = await service();
  const { status, body } = await post(cache.gateway, "/multi-exec", [["SET", "key", "1"], ["GET"]]);
  assert.equal(status, 400);
  assert.match(body, /EXECABORT/);
  assert.equal(await cache.sdk.get("key"), null);
});

Deno.test("gateway › no other command runs between the commands of a transaction", async () => {
  await using cache = await service();
  const rounds = Array.from({ length: 50 }, async () => {
    const [transaction] = await Promise.all([
      cache.sdk.multi().incr("count").incr("count").incr("count").exec(),
      cache.sdk.incr("count"),
    ]);
    return transaction as number[];
  });
  for (const [first, second, third] of await Promise.all(rounds)) {
    assert.deepEqual([second, third], [first + 1, first + 2]);
  }
});

Deno.test("gateway › a Lua script runs with its keys and arguments", async () => {
  await using cache = await service();
  const script = "redis.call('SET', KEYS[1], ARGV[1]) return {redis.call('GET', KEYS[1]), 42}";
  assert.deepEqual(await cache.sdk.eval(script, ["key"], ["value"]), ["value", 42]);
});

Deno.test("gateway › a Redis error is a 400 with its message", async () => {
  await using cache = await service();
  const { status, body } = await post(cache.gateway, "/", ["NOSUCH", "key"]);
  assert.equal(status, 400);
  assert.match(JSON.parse(body).error, /^ERR unknown command/);
  await assert.rejects(cache.sdk.eval("return no_such", [], []), { name: "UpstashError" });
});

Deno.test("gateway › an invalid token is a 401, a missing or malformed one a 400", async () => {
  await using cache = await service();
  const ping = async (authorization: string) => {
    const { status, body } = await post(cache.gateway, "/", ["PING"], { Authorization: authorization });
    return { status, ...JSON.parse(body) };
  };
  assert.deepEqual(await ping("Bearer wrong"), { status: 401, error: "Invalid token" });
  const malformed = { status: 400, error: "Missing/Invalid authorization header" };
  for (const header of ["", "Bearer", "Basic dGVzdA==", "Bearer a b"]) {
    assert.deepEqual(await ping(header), malformed);
  }
  await assert.rejects(sdkOf(cache.gateway, { token: "wrong" }).get("key"), /Invalid token/);
});

Deno.test("gateway › the greeting needs no token, and other paths do not exist", async () => {
  await using cache = await service();
  const greeting = await fetch(cache.gateway.url);
  assert.deepEqual([greeting.status, await greeting.json()], [200, "Welcome to Serverless Redis HTTP!"]);
  assert.equal((await post(cache.gateway, "/get/key", [])).status, 404);
});

Deno.test("gateway › a body that is not an array of commands is a 400", async () => {
  await using cache = await service();
  for (const body of [{}, [], [["GET", "key"]], ["GET", null]]) {
    assert.equal((await post(cache.gateway, "/", body)).status, 400);
  }
  assert.equal((await post(cache.gateway, "/pipeline", ["GET", "key"])).status, 400);
  assert.equal((await post(cache.gateway, "/", ["PING"], { "Content-Type": "text/plain" })).status, 400);
});

Deno.test("gateway › a body over 8,000,000 bytes is a 413 without a body", async () => {
  await using cache = await service();
  const overhead = JSON.stringify(["SET", "key", ""]).length;
  const { status, body } = await post(cache.gateway, "/", ["SET", "key", "x".repeat(8_000_001 - overhead)]);
  assert.deepEqual([status, body], [413, ""]);
  assert.equal((await post(cache.gateway, "/", ["SET", "key", "x".repeat(8_000_000 - overhead)])).status, 200);
  await assert.rejects(cache.sdk.set("key", "x".repeat(8_000_000)), { name: "UpstashJSONParseError" });
});

Deno.test("gateway › while Redis is down every command fails without waiting, and works again afterwards", async () => {
  await using cache = await service();
  await cache.sdk.set("key", "before");
  await cache.redis.kill();
  for (const [path, body] of [["/", ["GET", "key"]], ["/pipeline", [["GET", "key"]]], ["/multi-exec", [["PING"]]]]) {
    const response = await post(cache.gateway, path as string, body);
    assert.equal(response.status, 500);
    assert.match(response.body, /^{"error":"Unable to connect/);
  }
  await assert.rejects(cache.sdk.get("key"), { name: "UpstashError" });
  await cache.redis.restart();
  assert.equal(await cache.sdk.set("key", "after"), "OK");
  assert.equal(await cache.sdk.get("key"), "after");
});

Deno.test("gateway › a gateway can start before its Redis", async () => {
  await using redis = await RedisServer.start();
  await redis.kill();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  assert.equal((await post(gateway, "/", ["PING"])).status, 500);
  await redis.restart();
  assert.equal((await post(gateway, "/", ["PING"])).body, '{"result":"PONG"}');
});

Deno.test("gateway › requests and commands are counted until the counts are reset", async () => {
  await using cache = await service();
  await cache.sdk.set("key", "x".repeat(101));
  await cache.sdk.pipeline().get("key").del("key").exec();
  assert.equal(cache.gateway.requests, 2);
  assert.deepEqual(cache.gateway.commands, [["SET", "key", "<101 characters>"], ["GET", "key"], ["DEL", "key"]]);
  cache.gateway.resetCounts();
  assert.deepEqual([cache.gateway.requests, cache.gateway.commands], [0, []]);
});

Deno.test("gateway › a fault responds in its place until it is removed", async () => {
  await using cache = await service();
  cache.gateway.fault = () => Response.json({ error: "down" }, { status: 503 });
  await assert.rejects(cache.sdk.get("key"), /down/);
  assert.deepEqual(cache.gateway.commands, []);
  cache.gateway.fault = (request) => request.url.endsWith("/multi-exec") ? Response.error() : undefined;
  assert.equal(await cache.sdk.get("key"), null);
  cache.gateway.fault = undefined;
  assert.equal(await cache.sdk.set("key", "value"), "OK");
  assert.equal(cache.gateway.requests, 3);
});

Deno.test("gateway › a request without a response ends with the client's deadline", async () => {
  await using cache = await service();
  cache.gateway.fault = noAnswer;
  const sdk = sdkOf(cache.gateway, { signal: () => AbortSignal.timeout(50) });
  await assert.rejects(sdk.get("key"), { name: "TimeoutError" });
  cache.gateway.fault = undefined;
  assert.equal(await sdkOf(cache.gateway).get("key"), null);
});

Deno.test("gateway › stopping aborts a request that hangs in a fault", async () => {
  await using cache = await service();
  const arrived = Promise.withResolvers<void>();
  cache.gateway.fault = (request) => {
    arrived.resolve();
    return noAnswer(request);
  };
  const hanging = assert.rejects(post(cache.gateway, "/", ["PING"]), TypeError);
  await arrived.promise;
  await cache.gateway.stop();
  await hanging;
});

Deno.test("gateway › stopping aborts a command that Redis does not answer", async () => {
  await using cache = await service();
  const client = await cache.redis.client();
  await client.sendCommand(["CLIENT", "PAUSE", "100000"]);
  client.destroy();
  const hanging = assert.rejects(post(cache.gateway, "/", ["PING"]), TypeError);
  while (cache.gateway.requests === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await cache.gateway.stop();
  await hanging;
});
