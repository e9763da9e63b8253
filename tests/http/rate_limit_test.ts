import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { RateLimiter, SlidingWindow } from "../../src/http/rate_limit.ts";
import { RedisServer } from "../support/redis.ts";
import { noAnswer, UpstashGateway } from "../support/upstash_gateway.ts";

/** Longer than any test runs. */
const DAY = 86_400_000;

const shared = (gateway: UpstashGateway, timeoutMs: number) => ({
  url: gateway.url,
  token: gateway.token,
  timeoutMs,
  breakMs: 50,
  logger: getLogger("cutcache"),
});

/** Sends requests and counts those that are allowed. */
async function allowed(limiter: RateLimiter, client: string, requests: number): Promise<number> {
  let count = 0;
  for (let i = 0; i < requests; i++) if ((await limiter.take(client)).allowed) count++;
  return count;
}

Deno.test("rate limit › allows a window's requests, and says when to retry the next one", () => {
  const window = new SlidingWindow({ requests: 3, windowMs: 1000 });
  const verdicts = [0, 100, 200, 300].map((now) => window.take("a", now));
  assert.deepEqual(verdicts.map(({ allowed }) => allowed), [true, true, true, false]);
  assert.deepEqual(verdicts.map(({ remaining }) => remaining), [2, 1, 0, 0]);
  const { resetMs, retryMs } = verdicts[3];
  assert.equal(resetMs, 700);
  assert.equal(window.take("a", 300 + retryMs - 2).allowed, false);
  assert.equal(window.take("a", 300 + retryMs).allowed, true);
  assert.equal(window.take("b", 300).allowed, true, "each client has its own limit");
});

Deno.test("rate limit › the previous window counts by the share that the sliding window covers", () => {
  const window = new SlidingWindow({ requests: 10, windowMs: 1000 });
  for (let i = 0; i < 10; i++) window.take("a", 900);
  const early = Array.from({ length: 10 }, () => window.take("a", 1250));
  assert.equal(early.filter(({ allowed }) => allowed).length, 3, "a quarter of the ten no longer counts, rounded up");
  const { retryMs } = early.at(-1)!;
  assert.equal(window.peek("a", 1250 + retryMs).allowed, true);
  assert.equal(window.peek("a", 1250 + retryMs - 2).allowed, false);
  assert.equal(window.peek("a", 3000).remaining, 10, "older windows do not count");
});

Deno.test("rate limit › instances that share a Redis count together, in both directions", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const rate = { requests: 5, windowMs: DAY };
  const [one, other] = [1, 2].map(() => new RateLimiter(rate, shared(gateway, 60_000)));
  assert.equal(await allowed(one, "a", 3), 3);
  const fourth = await other.take("a");
  assert.deepEqual([fourth.allowed, fourth.remaining], [true, 1]);
  assert.equal(await allowed(other, "a", 3), 1);
  const refused = await one.take("a");
  assert.deepEqual([refused.allowed, refused.remaining], [false, 0]);
  assert.ok(refused.retryMs > 0 && refused.retryMs <= DAY + 1);
  assert.equal(await allowed(one, "b", 1), 1);

  const client = await redis.client();
  const keys = await client.keys("*");
  for (const key of keys) {
    assert.match(key, /^cutcache:rate:/);
    assert.ok(await client.pTTL(key) > 0, "every key expires");
  }
  client.destroy();
});

Deno.test("rate limit › an instance that has allowed the whole limit refuses without asking Redis", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const limiter = new RateLimiter({ requests: 2, windowMs: DAY }, shared(gateway, 60_000));
  assert.equal(await allowed(limiter, "a", 2), 2);
  gateway.resetCounts();
  assert.equal(await allowed(limiter, "a", 20), 0);
  assert.equal(gateway.requests, 0);
});

Deno.test("rate limit › while Redis is down or hangs, each instance counts alone; afterwards they count together again", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const rate = { requests: 4, windowMs: DAY };
  // This one waits for a Redis that hangs, so its deadline is short. The others must not time out on a slow machine.
  const hanging = new RateLimiter(rate, shared(gateway, 50));
  gateway.fault = noAnswer;
  assert.equal(await allowed(hanging, "hangs", 6), 4);
  gateway.fault = undefined;

  const limiter = new RateLimiter(rate, shared(gateway, 60_000));
  const other = new RateLimiter(rate, shared(gateway, 60_000));
  assert.equal(await allowed(limiter, "a", 2), 2);
  await redis.kill();
  assert.equal(await allowed(limiter, "a", 6), 2, "the requests that it allowed before count");
  assert.equal(await allowed(other, "b", 3), 3);
  await redis.restart();
  // Each instance uses Redis again once its breaker allows a request. Then there are keys in the empty database.
  const client = await redis.client();
  for (const instance of [limiter, other]) {
    await client.flushDb();
    for (let i = 0; await client.dbSize() === 0; i++) {
      await instance.take(`new-${i}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  client.destroy();
  assert.equal(await allowed(other, "d", 3), 3);
  assert.equal(await allowed(limiter, "d", 3), 1);
});
