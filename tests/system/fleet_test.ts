import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { discImage } from "../support/images.ts";
import { burst } from "../support/fleet_load.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { noAnswer, UpstashGateway } from "../support/upstash_gateway.ts";

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const ADMIN_TOKEN = "0123456789abcdef";
const LEASE_MS = 6000;
const LOCAL_TTL_SECONDS = 3;

async function inferencesOf(servers: TestServer[]): Promise<number> {
  const counts = await Promise.all(servers.map((server) => server.inferences()));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The keys of leases. */
async function leases(client: Awaited<ReturnType<RedisServer["client"]>>): Promise<string[]> {
  const keys = await client.keys("cutcache:mask:*");
  const values = await Promise.all(keys.map((key) => client.getRange(key, 0, 5)));
  return keys.filter((_, i) => values[i] === "LEASE ");
}

Deno.test("fleet › three instances on one Redis", async (t) => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const start = () =>
    TestServer.quick({
      ...gateway.environment,
      ADMIN_TOKEN,
      CACHE_LEASE_MS: `${LEASE_MS}`,
      CACHE_LOCAL_TTL_SECONDS: `${LOCAL_TTL_SECONDS}`,
      // Three processes share a few cores.
      INFERENCE_TIMEOUT_MS: "120000",
      INFERENCE_THREADS: "1",
    });
  const servers = await Promise.all([start(), start(), start()]);
  const client = await redis.client();
  try {
    await t.step("60 requests for 10 new images make 10 inferences", async () => {
      const images = await Promise.all(Array.from({ length: 10 }, (_, seed) => discImage(seed)));
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, i) => servers[i % 3].cutout(`${i % 10}.png`, images[i % 10])),
      );
      assert.equal(await inferencesOf(servers), 10);
      for (const [i, { png }] of answers.entries()) assert.deepEqual(png, answers[i % 10].png);
      await Promise.all(servers.map((server) => server.settled()));
      assert.deepEqual(await leases(client), []);
    });

    await t.step("100 requests for one new image make one inference in one process", async () => {
      const image = await discImage(20);
      const before = await inferencesOf(servers);
      const answers = await Promise.all(Array.from({ length: 100 }, () => servers[0].cutout("a.png", image)));
      assert.equal(await inferencesOf(servers), before + 1);
      const coalesced = answers.filter(({ cacheStatus }) => cacheStatus.includes("collapsed")).length;
      const made = answers.filter(({ cacheStatus }) => cacheStatus.includes("stored")).length;
      assert.equal(made, 1);
      assert.ok(coalesced > 0);
    });

    await t.step("an image deleted at one instance is gone from all within CACHE_LOCAL_TTL_SECONDS", async () => {
      const image = await discImage(21);
      const path = `/cutouts/${digest(image)}`;
      for (const server of servers) await server.cutout("a.png", image);
      await Promise.all(servers.map((server) => server.settled()));
      const deletion = await servers[0].fetch(`/cache/${digest(image)}`, {
        method: "DELETE",
        headers: { "X-Api-Key": ADMIN_TOKEN },
      });
      assert.equal((await deletion.json()).deleted, 2);
      const status = async (server: TestServer) => {
        const response = await server.fetch(path);
        await response.body?.cancel();
        return response.status;
      };
      assert.equal(await status(servers[0]), 404);
      await new Promise((resolve) => setTimeout(resolve, 1000 * LOCAL_TTL_SECONDS + 50));
      assert.deepEqual(await Promise.all(servers.map(status)), [404, 404, 404]);
    });

    await t.step("an instance that dies holding a lease delays the others by no more than the lease", async () => {
      const image = await discImage(22);
      const [dying, living] = [servers[0], servers[1]];
      // A lease is released after the write. The write hangs, so that the lease is held even after a fast inference.
      gateway.fault = (request) => new URL(request.url).pathname === "/pipeline" ? noAnswer(request) : undefined;
      const lost = dying.cutout("a.png", image).catch(() => {});
      let lease: string | undefined;
      while (lease === undefined) [lease] = await leases(client);
      const remaining = await client.pTTL(lease);
      assert.ok(remaining > 0 && remaining <= LEASE_MS, `${remaining} ms`);
      await dying.kill();
      await lost;
      gateway.fault = undefined;
      assert.equal(await client.exists(lease), 1, "no one has released it");
      const before = await living.inferences();
      const { cacheStatus } = await living.cutout("a.png", image);
      assert.match(cacheStatus, /fwd=miss; stored; detail=inference/);
      assert.equal(await living.inferences(), before + 1);
    });
  } finally {
    await client.close();
    await Promise.all(servers.map((server) => server.stop()));
  }
});

for (const restarts of [false, true]) {
  const MAX = restarts ? 66 : 60;
  Deno.test(
    `fleet › 60 new images sent to each of three instances${
      restarts ? ", with Redis restarted meanwhile," : ""
    } make at most ${MAX} inferences, shared among them`,
    async () => {
      const IMAGES = 60;
      // As compose.yaml has it: a restart keeps what was written.
      await using redis = await RedisServer.start({ args: ["--appendonly", "yes", "--appendfsync", "everysec"] });
      await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
      // With the default deadlines.
      const { UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN } = gateway.environment;
      const start = () =>
        TestServer.quick({
          UPSTASH_REDIS_REST_URL,
          UPSTASH_REDIS_REST_TOKEN,
          INFERENCE_THREADS: "1",
          INFERENCE_TIMEOUT_MS: "120000",
          LOG_LEVEL: "warning",
        }, { checked: false });
      const servers = await Promise.all([start(), start(), start()]);
      try {
        await Promise.all(servers.map((server) => server.ready()));
        const images = await Promise.all(Array.from({ length: IMAGES }, (_, seed) => discImage(1000 + seed)));
        const counts = await burst(servers, images, restarts ? () => redis.restart() : undefined);
        console.log(`inferences by instance: ${counts.join(" + ")}`);
        const total = counts.reduce((sum, count) => sum + count, 0);
        assert.ok(total >= IMAGES && total <= MAX, `${counts.join(" + ")} = ${total} inferences`);
        for (const count of counts) assert.ok(Math.abs(count - IMAGES / 3) <= 6, counts.join(" + "));
      } finally {
        await Promise.all(servers.map((server) => server.stop()));
      }
    },
  );
}
