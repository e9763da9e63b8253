import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { RateLimiter, SlidingWindow } from "../../src/http/rate_limit.ts";
import { RedisServer } from "../support/redis.ts";
import { noAnswer, UpstashGateway } from "../support/upstash_gateway.ts";

/** Long enough for a test not to see it end. */
const DAY = 86_400_000;

const shared = (gateway: UpstashGateway, timeoutMs: number) => ({
  url: gateway.url,
  token: gateway.token,
  timeoutMs,
  breakMs: 50,
  logger: getLogger("cutcache"),
});

/** How many of so many requests are let through. */
async function allowed(limiter: RateLimiter, client: string, requests: number): Promise<number> {
  let count = 0;
  for (let i = 0; i < requests; i++) if ((await limiter.take(client)).allowed) count++;
  return count;
}

Deno.test("rate limit › a window's requests go through, the next is told when to come again", () => {
  const window = new SlidingWindow({ requests: 3, windowMs: 1000 });
  const verdicts = [0, 100, 200, 300].map((now) => window.take("a", now));
  assert.deepEqual(verdicts.map(({ allowed }) => allowed), [true, true, true, false]);
  assert.deepEqual(verdicts.map(({ remaining }) => remaining), [2, 1, 0, 0]);
  const { resetMs, retryMs } = verdicts[3];
  assert.equal(resetMs, 700);
  assert.equal(window.take("a", 300 + retryMs - 2).allowed, false);
  assert.equal(window.take("a", 300 + retryMs).allowed, true);
  assert.equal(window.take("b", 300).allowed, true, "each client has its own");
});

Deno.test("rate limit › the window before counts as far as the sliding one covers it", () => {
  const window = new SlidingWindow({ requests: 10, windowMs: 1000 });
  for (let i = 0; i < 10; i++) window.take("a", 900);
  const early = Array.from({ length: 10 }, () => window.take("a", 1250));
  assert.equal(early.filter(({ allowed }) => allowed).length, 3, "a quarter of the ten has gone, rounded up");
  const { retryMs } = early.at(-1)!;
  assert.equal(window.look("a", 1250 + retryMs).allowed, true);
  assert.equal(window.look("a", 1250 + retryMs - 2).allowed, false);
  assert.equal(window.look("a", 3000).remaining, 10, "of windows further back nothing counts");
});

Deno.test("rate limit › instances that share a Redis count together, in both", async () => {
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
    assert.ok(await client.pTTL(key) > 0, "none stays for ever");
  }
  client.destroy();
});

Deno.test("rate limit › what one instance has let through alone is refused without asking Redis", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const limiter = new RateLimiter({ requests: 2, windowMs: DAY }, shared(gateway, 60_000));
  assert.equal(await allowed(limiter, "a", 2), 2);
  gateway.resetCounts();
  assert.equal(await allowed(limiter, "a", 20), 0);
  assert.equal(gateway.requests, 0);
});

Deno.test("rate limit › while Redis is away or hangs each instance counts on its own, and with it again after", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const rate = { requests: 4, windowMs: DAY };
  // The first hangs for as long as it may, so the deadline is short; the others wait as long as a slow machine needs.
  const hanging = new RateLimiter(rate, shared(gateway, 50));
  gateway.fault = noAnswer;
  assert.equal(await allowed(hanging, "hangs", 6), 4);
  gateway.fault = undefined;

  const limiter = new RateLimiter(rate, shared(gateway, 60_000));
  const other = new RateLimiter(rate, shared(gateway, 60_000));
  assert.equal(await allowed(limiter, "a", 2), 2);
  await redis.kill();
  assert.equal(await allowed(limiter, "a", 6), 2, "what it let through before counts");
  assert.equal(await allowed(other, "b", 3), 3);
  await redis.restart();
  // It is asked again once the breaker of each lets a request through; what is counted there is there.
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
