import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fixture } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";

/** The commands that Redis has run since the last reset, by name. */
async function commandStats(client: Awaited<ReturnType<RedisServer["client"]>>): Promise<Record<string, number>> {
  const lines = (await client.info("commandstats")).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
  const ours = [...lines].filter(([, name]) => !/^(?:info|config|client|hello)/.test(name));
  return Object.fromEntries(ours.map(([, name, calls]) => [name, Number(calls)]));
}

Deno.test("commands › what a miss, a hit, another rendering and a wait cost in Redis, by its own count", async (t) => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  // On a busy machine an inference may take so long that its lease is renewed, which costs commands.
  const settings = { ...gateway.environment, CACHE_LEASE_MS: "600000" };
  await using server = await TestServer.quick(settings, { checked: false });
  await using other = await TestServer.quick(settings, { checked: false });
  await Promise.all([server.ready(), other.ready()]);
  const client = await redis.client();
  const image = fixture("chelsea.jpg");
  const address = `/cutouts/${createHash("sha256").update(image).digest("hex")}`;
  const cost = async (use: () => Promise<Response>) => {
    await client.configResetStat();
    gateway.resetCounts();
    await (await use()).body?.cancel();
    await Promise.all([server.settled(), other.settled()]);
    const commands = await commandStats(client);
    const total = Object.values(commands).reduce((sum, count) => sum + count, 0);
    console.log(`${total} commands in ${gateway.requests} requests:`, commands);
    return { total, requests: gateway.requests };
  };
  const post = (to: TestServer, query = "") => to.fetch(`/cutouts${query}`, { method: "POST", body: image });
  // A connection's first command comes with others.
  await (await server.fetch(`/cutouts/${"0".repeat(64)}`)).body?.cancel();

  await t.step("a miss: at most 8 commands in 3 requests", async () => {
    const { total, requests } = await cost(() => post(server));
    assert.ok(total <= 8 && requests <= 3, `${total} commands in ${requests} requests`);
  });
  await t.step("a hit: one command in one request, then none", async () => {
    assert.deepEqual(await cost(() => post(other)), { total: 1, requests: 1 });
    assert.deepEqual(await cost(() => other.fetch(address)), { total: 0, requests: 0 });
  });
  await t.step("another rendering of a known image: at most 6 commands in 2 requests", async () => {
    const { total, requests } = await cost(() => post(server, "?background=white"));
    assert.ok(total <= 6 && requests <= 2, `${total} commands in ${requests} requests`);
  });
  await client.close();
});
