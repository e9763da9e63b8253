import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { type Fault, noAnswer, UpstashGateway } from "../support/upstash_gateway.ts";

const BREAK_MS = 250;

interface Outage {
  name: string;
  begin: () => Promise<void> | void;
  end: () => Promise<void> | void;
  /** Whether Redis can still be read. */
  readable?: boolean;
}

Deno.test("outages › every request is answered, however Redis fails", async (t) => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await TestServer.quick({
    ...gateway.environment,
    // Memory keeps the mask for the whole test.
    CACHE_LOCAL_TTL_SECONDS: "3600",
    CACHE_BREAK_MS: `${BREAK_MS}`,
    CACHE_TIMEOUT_MS: "2000",
    CACHE_WRITE_TIMEOUT_MS: "2000",
  });
  const image = await discImage(1);
  let variant = 0;
  /** Requests a new rendering of the image. */
  const render = async () => {
    const body = JSON.stringify({
      file_path: "a.png",
      img_base64: image.toBase64(),
      options: { feather: ++variant / 1000 },
    });
    const response = await server.fetch("/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
    });
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal((await response.json()).status, "ok");
    return response.headers.get("Cache-Status")!;
  };
  const command = async (...words: string[]) => {
    const client = await redis.client();
    const answer = await client.sendCommand(words);
    await client.close();
    return answer;
  };
  const healthy = async () => {
    while ((await server.health()).store.health !== "ok") await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const withFault = (name: string, fault: Fault): Outage => ({
    name,
    begin: () => void (gateway.fault = fault),
    end: () => void (gateway.fault = undefined),
  });
  const answer = (status: number, body: string, type = "application/json"): Fault => () =>
    new Response(body, { status, headers: { "Content-Type": type } });

  const outages: Outage[] = [
    { name: "killed and restarted", begin: () => redis.kill(), end: () => redis.restart() },
    {
      name: "full",
      begin: async () => void await command("CONFIG", "SET", "maxmemory", "1"),
      end: async () => void await command("CONFIG", "SET", "maxmemory", "0"),
      readable: true,
    },
    {
      name: "read-only",
      begin: async () => void await command("REPLICAOF", "127.0.0.1", "1"),
      end: async () => void await command("REPLICAOF", "NO", "ONE"),
      readable: true,
    },
    withFault("a wrong token", answer(401, '{"error":"Unauthorized"}')),
    withFault("a gateway that answers 500", answer(500, '{"error":"Internal"}')),
    withFault("a gateway that answers 429", answer(429, '{"error":"Too many requests"}')),
    withFault("a gateway that answers with HTML", answer(200, "<html><h1>It works!</h1></html>", "text/html")),
    withFault("a gateway whose JSON is truncated", answer(200, '{"result":"CUT4 ')),
    withFault("a gateway whose JSON has another shape", answer(200, '{"data":[1,2,3]}')),
    withFault("a gateway that never answers", noAnswer),
  ];

  assert.match(await render(), /detail=inference/);
  await server.settled();

  for (const { name, begin, end, readable = false } of outages) {
    await t.step(name, async () => {
      const failedBefore = (await server.health()).store.failed_writes!;
      await begin();
      // Three reads or writes in a row find the failure. Memory has the mask, and from then on the result.
      for (let i = 0; i < 3; i++) {
        assert.match(await render(), /fwd=miss; stored; detail=mask/);
        await server.settled();
      }
      const { store } = await server.health();
      assert.equal(store.health, "ng");
      assert.notEqual(store.breaker, "closed");
      assert.ok(store.last_error);
      assert.ok(store.failed_writes! > failedBefore, "the lost write was counted");

      // From now on Redis gets only the breaker's probes, and reads if these still work.
      gateway.resetCounts();
      const started = performance.now();
      for (let i = 0; i < 5; i++) assert.match(await render(), /fwd=miss; stored; detail=mask/);
      // Reads and writes have their own; the first two come sooner than BREAK_MS.
      const probes = 2 * Math.ceil((performance.now() - started) / BREAK_MS) + 4;
      assert.ok(gateway.requests <= probes + (readable ? 5 : 0), `${gateway.requests} requests, ${probes} probes`);

      await end();
      await healthy();
      await render();
      await server.settled();
      gateway.resetCounts();
      assert.ok(Number(await command("DBSIZE")) > 0, "writes succeed again");
    });
  }

  await t.step("while Redis is down, GET /cutouts/{sha256} answers 503 for what memory does not have", async () => {
    const unknown = "0".repeat(64);
    const get = async (headers: Record<string, string> = {}) => {
      const response = await server.fetch(`/cutouts/${unknown}`, { headers });
      await response.body?.cancel();
      return response;
    };
    assert.equal((await get()).status, 404);
    await redis.kill();
    for (let i = 0; i < 5; i++) {
      const response = await get();
      assert.equal(response.status, 503);
      assert.ok(Number(response.headers.get("Retry-After")) >= 1);
    }
    assert.equal((await get({ Prefer: "handling=lenient" })).status, 204, "a client that posts the image next");
    await redis.restart();
    await healthy();
    assert.equal((await get()).status, 404);
  });

  await t.step("flushed: a result is rendered again, and the store stays healthy", async () => {
    await command("FLUSHALL");
    assert.match(await render(), /fwd=miss; stored; detail=mask/);
    await server.settled();
    assert.equal((await server.health()).store.health, "ok");
  });

  await t.step("a corrupt or truncated value is a miss, is deleted, and is never served", async () => {
    const client = await redis.client();
    const fresh = await discImage(2);
    await server.cutout("b.png", fresh);
    await server.settled();
    await using other = await TestServer.quick(gateway.environment);
    const { png } = await server.cutout("b.png", fresh);
    const keys = (await client.keys("cutcache:*")).filter((key) => /:(cutout|mask):/.test(key));
    for (const key of keys) {
      const value = (await client.get(key))!;
      await client.set(
        key,
        key.includes("mask") ? value.slice(0, value.length / 2) : `${value.slice(0, 60)}AAAA${value.slice(64)}`,
      );
    }
    const again = await other.cutout("b.png", fresh);
    assert.equal(again.cacheStatus, "Cutcache; fwd=miss; stored; detail=inference");
    assert.deepEqual(again.png, png);
    await other.settled();
    await using third = await TestServer.quick(gateway.environment);
    assert.equal((await third.cutout("b.png", fresh)).cacheStatus, "Cutcache; hit; detail=redis");

    // Without ADMIN_TOKEN.
    assert.equal((await (await third.fetch("/cache")).json()).tiers.redis.hits, 1);
    const refused = await third.fetch("/cache", { method: "DELETE" });
    assert.equal(refused.status, 403);
    assert.match((await refused.json()).detail, /ADMIN_TOKEN/);
    await client.close();
  });
});
