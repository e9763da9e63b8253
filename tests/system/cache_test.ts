import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { discImage } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { readSlowly } from "../support/fleet_load.ts";
import { TestServer } from "../support/server.ts";
import { noAnswer, UpstashGateway } from "../support/upstash_gateway.ts";

const MISS = "Cutcache; fwd=miss; stored; detail=inference";
const MEMORY_HIT = "Cutcache; hit; detail=memory";

Deno.test("sqlite › hits survive a restart", async () => {
  const cacheDir = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  const image = await discImage(1);
  const first = await TestServer.quick({ CACHE_DIR: cacheDir });
  const miss = await first.cutout("a.png", image);
  assert.equal(miss.cacheStatus, MISS);
  assert.equal((await first.cutout("a.png", image)).cacheStatus, MEMORY_HIT);
  assert.equal((await first.stop()).code, 0);

  const second = await TestServer.quick({ CACHE_DIR: cacheDir });
  const hit = await second.cutout("a.png", image);
  assert.equal(hit.cacheStatus, "Cutcache; hit; detail=sqlite");
  assert.deepEqual(hit.png, miss.png);
  assert.equal((await second.cutout("a.png", image)).cacheStatus, MEMORY_HIT);
  assert.equal(await second.inferences(), 0);
  await second.stop();
  await Deno.remove(cacheDir, { recursive: true });
});

Deno.test("memory › a restart empties the cache", async () => {
  const image = await discImage(1);
  for (let i = 0; i < 2; i++) {
    await using server = await TestServer.quick({ CACHE_STORE: "memory" });
    assert.equal((await server.cutout("a.png", image)).cacheStatus, MISS);
    assert.equal((await server.cutout("a.png", image)).cacheStatus, MEMORY_HIT);
    assert.equal((await server.health()).store.name, "memory");
  }
});

Deno.test("redis › hits survive a restart, but not a flushed Redis", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const image = await discImage(2);

  const first = await TestServer.quick(gateway.environment);
  const miss = await first.cutout("a.png", image);
  assert.equal(miss.cacheStatus, MISS);
  assert.equal((await first.health()).store.name, "memory+redis");
  await first.stop();

  const second = await TestServer.quick(gateway.environment);
  const hit = await second.cutout("a.png", image);
  assert.equal(hit.cacheStatus, "Cutcache; hit; detail=redis");
  assert.deepEqual(hit.png, miss.png);
  assert.equal((await second.cutout("a.png", image)).cacheStatus, MEMORY_HIT);
  await second.stop();

  const client = await redis.client();
  await client.flushAll();
  await client.close();
  const third = await TestServer.quick(gateway.environment);
  assert.equal((await third.cutout("a.png", image)).cacheStatus, MISS);
  await third.stop();
});

Deno.test("redis › the response does not wait for the write", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await TestServer.quick(gateway.environment);
  const client = await redis.client();
  const { promise: writesMayPass, resolve: letWritesPass } = Promise.withResolvers<void>();
  gateway.fault = async (request) => {
    if (new URL(request.url).pathname === "/pipeline") await writesMayPass;
    return undefined;
  };
  const { cacheStatus } = await server.cutout("a.png", await discImage(3));
  assert.equal(cacheStatus, MISS);
  const keys = await client.keys("*");
  assert.match(
    keys.join(),
    /^cutcache:mask:[^,]+$/,
    "the response has arrived before the write, and the lease makes other instances wait for it",
  );
  assert.match((await client.get(keys[0]))!, /^LEASE /);
  assert.ok((await server.health()).deferred.pending > 0);
  letWritesPass();
  await server.settled();
  // The cutout, its mask, the set of the image's keys and the list of recent entries.
  assert.equal(await client.dbSize(), 4);
  await client.close();
});

Deno.test("redis › while Redis is down, requests are served and the log says so; then Redis is used again", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await TestServer.quick({ ...gateway.environment, CACHE_BREAK_MS: "300" });
  await server.cutout("a.png", await discImage(4));
  await server.settled();
  await redis.kill();
  assert.equal((await server.cutout("a.png", await discImage(4))).cacheStatus, MEMORY_HIT);
  assert.equal((await server.cutout("b.png", await discImage(5))).cacheStatus, MISS);
  assert.equal((await server.health()).store.health, "ng");
  assert.equal((await server.health()).predict_server.health, "ok");
  await server.settled();
  assert.ok((await server.health()).store.failed_writes! > 0);
  await server.logged(({ message }) => /redis (reads|writes) failed/.test(message));

  await redis.restart();
  while ((await server.health()).store.health !== "ok") await delay(20);
  assert.equal((await server.cutout("c.png", await discImage(6))).cacheStatus, MISS);
  await server.settled();
  assert.equal((await server.health()).store.health, "ok");
  const client = await redis.client();
  // `DBSIZE` could also count the key of a probe, until Redis notices that it has expired.
  assert.equal((await client.keys("*")).length, 4);
  await client.close();
});

Deno.test("redis › a gateway that never answers costs a few deadlines, then nothing", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await TestServer.quick({
    ...gateway.environment,
    CACHE_TIMEOUT_MS: "200",
    CACHE_WRITE_TIMEOUT_MS: "300",
    CACHE_BREAK_MS: "600000",
  });
  let asked = 0;
  gateway.fault = async (request) => {
    if (!(await request.text()).includes("cutcache:probe")) asked++;
    return await noAnswer(request);
  };
  for (const seed of [7, 8]) {
    assert.equal((await server.cutout("a.png", await discImage(seed))).cacheStatus, MISS);
    await server.settled();
  }
  // Three reads, each sent twice, and three attempts at a lease found the failure.
  assert.ok(asked <= 3 * 2 + 3, `${asked} requests`);
  assert.match((await server.health()).store.last_error!, /no answer|timed? ?out/i);
  const before = asked;
  assert.equal((await server.cutout("a.png", await discImage(9))).cacheStatus, MISS);
  assert.equal(asked, before, "nothing was waited for");
});

for (const { rate, maxLost } of [{ rate: 0.01, maxLost: 0.02 }, { rate: 0.001, maxLost: 0 }]) {
  Deno.test(`redis › with ${100 * rate} % of its answers too late, at most ${100 * maxLost} % of hits are lost`, async () => {
    const IMAGES = 10;
    const REQUESTS = 2000;
    const TIMEOUT_MS = 1000;
    await using redis = await RedisServer.start();
    await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
    await using server = await TestServer.quick({
      ...gateway.environment,
      // Long enough for a busy machine, whose own delays would count as Redis's.
      CACHE_TIMEOUT_MS: `${TIMEOUT_MS}`,
      // Memory has nothing: each hit is a read.
      CACHE_MAX_BYTES: "0",
      LOG_LEVEL: "error",
    }, { checked: false });
    const images = await Promise.all(Array.from({ length: IMAGES }, (_, seed) => discImage(300 + seed)));
    for (const image of images) await server.cutout("a.png", image);
    await server.settled();
    const { slow, lost, times } = await readSlowly({
      ...{ server, gateway, images, rate, slowMs: 2 * TIMEOUT_MS },
      ...{ requests: REQUESTS, connections: 4 },
    });
    const p99 = times[Math.floor(0.99 * times.length)];
    console.log(`${slow} slow answers, ${lost} of ${REQUESTS} hits lost, p99 ${p99.toFixed(1)} ms`);
    assert.ok(slow > 0);
    assert.ok(lost <= maxLost * REQUESTS, `${lost} of ${REQUESTS} hits were lost`);
  });
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} › a pending request is answered, its write is done, and the exit code is 0`, async () => {
    await using redis = await RedisServer.start();
    await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
    const server = await TestServer.quick(gateway.environment);
    const { promise: writesMayPass, resolve: letWritesPass } = Promise.withResolvers<void>();
    gateway.fault = async (request) => {
      // Holds the writes until the signal has been handled and the last response has been sent.
      if (new URL(request.url).pathname === "/pipeline") {
        await server.logged(({ message }) => message.startsWith(signal));
        await writesMayPass;
      }
      return undefined;
    };
    const answering = server.cutout("a.png", await discImage(9)).finally(letWritesPass);
    while ((await server.health()).engine.running === 0) { /* the request has not arrived yet */ }
    const stopping = server.stop(signal);
    assert.equal((await answering).cacheStatus, MISS);
    assert.equal((await stopping).code, 0);
    const client = await redis.client();
    assert.equal(await client.dbSize(), 4);
    await client.close();
    await assert.rejects(() => server.fetch("/health"));
  });
}
