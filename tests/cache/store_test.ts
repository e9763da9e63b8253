import type { RedisServer } from "../support/redis.ts";
import type { UpstashGateway } from "../support/upstash_gateway.ts";
import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { MemoryStore } from "../../src/cache/memory.ts";
import { SqliteStore } from "../../src/cache/sqlite.ts";
import type { ImageId } from "../../src/cache/keys.ts";
import type { Entry, Lease, Store } from "../../src/cache/store.ts";
import { CircuitBreakerStore } from "../../src/cache/circuit_breaker.ts";
import { StoreUnavailableError } from "../../src/base/errors.ts";
import { TieredStore } from "../../src/cache/tiered.ts";
import { withUpstash } from "../support/upstash_store.ts";
import { UpstashStore } from "../../src/cache/upstash.ts";

const entry = (fill: number, size = 100, created = fill): Entry => ({
  bytes: new Uint8Array(size).fill(fill),
  contentType: "image/png",
  created,
  etag: `${fill}`,
});

const stores: Record<string, (use: (store: Store) => Promise<void>) => Promise<void>> = {
  memory: (use) => use(new MemoryStore({ maxBytes: 1_000_000 })),
  sqlite: async (use) => {
    const store = new SqliteStore({ path: ":memory:", maxBytes: 1_000_000 });
    await use(store);
    store.close();
  },
  "memory+sqlite": async (use) => {
    const store = new TieredStore(
      new MemoryStore({ maxBytes: 1_000_000 }),
      new SqliteStore({ path: ":memory:", maxBytes: 1_000_000 }),
    );
    await use(store);
    store.close();
  },
  upstash: (use) => withUpstash(({ store }) => use(store)),
};

for (const [name, withStore] of Object.entries(stores)) {
  Deno.test(`${name} store › returns what was set, and undefined for other keys`, () =>
    withStore(async (store) => {
      await store.set("a", entry(1));
      await store.set("b", entry(2));
      assert.deepEqual(await store.get("a"), entry(1));
      assert.equal(await store.get("c"), undefined);
      await store.set("a", entry(3));
      assert.deepEqual(await store.get("a"), entry(3));
    }));

  Deno.test(`${name} store › deletes an entry, and reports whether there was one`, () =>
    withStore(async (store) => {
      await store.set("a", entry(1));
      assert.equal(await store.delete("a"), true);
      assert.equal(await store.delete("a"), false);
      assert.equal(await store.get("a"), undefined);
    }));

  Deno.test(`${name} store › lists the newest first, up to the limit`, () =>
    withStore(async (store) => {
      for (const i of [1, 2, 3]) await store.set(`key ${i}`, entry(i));
      const list = await store.list(2);
      assert.deepEqual(list.map(({ key, bytes, created }) => ({ key, bytes, created })), [
        { key: "key 3", bytes: 100, created: 3 },
        { key: "key 2", bytes: 100, created: 2 },
      ]);
    }));
}

/** The keys of an image whose digest repeats one digit. */
const keys = (
  digit: string,
) => [`mask:v:${digit.repeat(64)}`, `cutout:v:${digit.repeat(64)}:a`, `cutout:w:${digit.repeat(64)}:b`];

for (const [name, withStore] of Object.entries(stores)) {
  Deno.test(`${name} store › deletes all entries of an image, or everything, and counts them`, () =>
    withStore(async (store) => {
      for (const key of [...keys("1"), ...keys("2")]) await store.set(key, entry(1));
      assert.equal((await store.stats()).entries, 6);
      assert.equal(await store.deleteImage("1".repeat(64) as ImageId), 3);
      assert.equal(await store.deleteImage("1".repeat(64) as ImageId), 0);
      for (const key of keys("1")) assert.equal(await store.get(key), undefined);
      for (const key of keys("2")) assert.deepEqual(await store.get(key), entry(1));
      assert.equal((await store.list(10)).length, 3);
      assert.equal(await store.clear(), 3);
      assert.equal((await store.stats()).entries, 0);
      assert.deepEqual(await store.list(10), []);
      for (const key of keys("2")) assert.equal(await store.get(key), undefined);
    }));
}

Deno.test("memory store › stays within its size and evicts the least recently used", async () => {
  const store = new MemoryStore({ maxBytes: 3 * (1000 + 512) });
  for (const i of [1, 2, 3]) await store.set(`${i}`, entry(i, 1000));
  await store.get("1");
  await store.set("4", entry(4, 1000));
  assert.deepEqual(
    await Promise.all(["1", "2", "3", "4"].map(async (key) => (await store.get(key)) !== undefined)),
    [true, false, true, true],
  );
});

Deno.test("sqlite store › stays within its size and evicts the least recently used", async () => {
  let now = 0;
  const store = new SqliteStore({ path: ":memory:", maxBytes: 10_000, now: () => ++now });
  for (let i = 0; i < 10; i++) await store.set(`${i}`, entry(i, 1000));
  assert.ok(await store.get("0"));
  await store.set("new", entry(99, 1000));
  assert.ok(await store.get("0"), "it was read last");
  assert.ok(await store.get("new"));
  assert.equal(await store.get("1"), undefined);
  const remaining = await store.list(100);
  assert.ok(remaining.reduce((sum, { bytes }) => sum + bytes, 0) <= 10_000);
  store.close();
});

Deno.test("sqlite store › an entry expires after its time to live", async () => {
  let now = 1000;
  const store = new SqliteStore({ path: ":memory:", maxBytes: 10_000, ttlSeconds: 60, now: () => now });
  await store.set("a", entry(1));
  now += 59_999;
  assert.ok(await store.get("a"));
  now += 1;
  assert.equal(await store.get("a"), undefined);
  assert.deepEqual(await store.list(10), []);
  store.close();
});

Deno.test("sqlite store › still has its entries after it is reopened", async () => {
  const folder = await Deno.makeTempDir();
  const options = { path: `${folder}/cache.sqlite`, maxBytes: 10_000 };
  const first = new SqliteStore(options);
  await first.set("a", entry(1));
  first.close();
  const second = new SqliteStore(options);
  assert.deepEqual(await second.get("a"), entry(1));
  second.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("sqlite store › renames a damaged file and starts a new one", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/cache.sqlite`;
  await Deno.writeTextFile(path, "this is not a database, ".repeat(1000));
  let damaged = "";
  const store = new SqliteStore({ path, maxBytes: 10_000, onDamaged: (to) => damaged = to });
  assert.equal(damaged, `${path}.damaged`);
  assert.match(await Deno.readTextFile(damaged), /^this is not a database/);
  await store.set("a", entry(1));
  assert.deepEqual(await store.get("a"), entry(1));
  store.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("tiered store › names the tier that had the entry, and keeps the entry in memory", async () => {
  const durable = new MemoryStore({ maxBytes: 10_000 });
  const store = new TieredStore(new MemoryStore({ maxBytes: 10_000 }), {
    ...plain(durable),
    name: "durable",
  });
  await durable.set("a", entry(1));
  assert.deepEqual(await store.find("a"), { entry: entry(1), tier: "durable" });
  assert.deepEqual(await store.find("a"), { entry: entry(1), tier: "memory" });
  assert.equal(await store.find("b"), undefined);
});

Deno.test("tiered store › memory has the entry before the durable write is done", async () => {
  const { promise: written, resolve } = Promise.withResolvers<void>();
  const durable = new MemoryStore({ maxBytes: 10_000 });
  const store = new TieredStore(new MemoryStore({ maxBytes: 10_000 }), { ...plain(durable), set: () => written });
  const setting = store.set("a", entry(1));
  assert.equal((await store.find("a"))?.tier, "memory");
  resolve();
  await setting;
});

/** Another object with the methods of a store, for tests to override some of them. */
function plain(store: Store): Store {
  return {
    name: store.name,
    get: (key) => store.get(key),
    set: (key, entry) => store.set(key, entry),
    delete: (key) => store.delete(key),
    list: (limit) => store.list(limit),
    deleteImage: (image) => store.deleteImage(image),
    clear: () => store.clear(),
    stats: () => store.stats(),
  };
}

Deno.test("upstash store › a read takes one round trip, and so does a write", () =>
  withUpstash(async ({ store, gateway }) => {
    await store.set("a", entry(1));
    assert.equal(gateway.requests, 1);
    gateway.resetCounts();
    await store.get("a");
    assert.equal(gateway.requests, 1);
  }));

Deno.test("upstash store › entries expire, and the list of recent entries is bounded", () =>
  withUpstash(async ({ store, redis }) => {
    for (let i = 0; i < 5; i++) await store.set(`${i}`, entry(i));
    const client = await redis.client();
    const ttl = await client.ttl("cutcache:4");
    assert.ok(ttl > 50 && ttl <= 60, `${ttl}`);
    assert.equal(await client.lLen("cutcache:recent"), 3);
    await client.close();
  }, { recentLimit: 3 }));

Deno.test("upstash store › does not send a value over the limit", () =>
  withUpstash(async ({ store, gateway }) => {
    await store.set("large", entry(1, 1000));
    // What was at its key must not stay.
    assert.deepEqual(gateway.commands, [["DEL", "cutcache:large"]]);
    assert.equal(await store.get("large"), undefined);
  }, { maxValueBytes: 1000 }));

Deno.test("upstash store › a corrupt, truncated or foreign value is a miss and is deleted", () =>
  withUpstash(async ({ store, redis }) => {
    const client = await redis.client();
    await store.set("good", entry(1));
    const good = (await client.get("cutcache:good"))!;
    const values = [
      good.slice(0, good.length / 2),
      good.slice(0, 40) + (good[40] === "A" ? "B" : "A") + good.slice(41),
      "hello",
      '{"a":1}',
      "",
      "12345",
    ];
    for (const value of values) {
      await client.set("cutcache:bad", value);
      assert.equal(await store.get("bad"), undefined);
      assert.equal(await client.exists("cutcache:bad"), 0, `${value.slice(0, 20)} is still there`);
    }
    await client.close();
  }));

Deno.test("upstash store › the error of a failed write does not quote the value", () =>
  withUpstash(async ({ store, redis }) => {
    const client = await redis.client();
    await client.configSet("maxmemory", "1");
    await assert.rejects(() => store.set("a", entry(1)), (error: Error) => {
      assert.match(error.message, /OOM/);
      assert.doesNotMatch(error.message, /AQEBAQEB/);
      return true;
    });
    await client.close();
  }));

/** Two processes on one Redis. */
async function withTwo(
  use: (
    parts: { one: UpstashStore; other: UpstashStore; redis: RedisServer; gateway: UpstashGateway },
  ) => Promise<void>,
): Promise<void> {
  await withUpstash(async ({ store: one, redis, gateway }) => {
    const other = new UpstashStore({
      url: gateway.url,
      token: gateway.token,
      ttlSeconds: 60,
      timeoutMs: 60_000,
      maxValueBytes: 1_000_000,
      maxRequestBytes: 1_000_000,
    });
    await use({ one, other, redis, gateway });
  });
}

Deno.test("upstash store › one process at a time has the lease, the write ends it, and the others get the entry", () =>
  withTwo(async ({ one, other, redis }) => {
    const lease = leaseOf(await one.getOrLease("a", 60_000));
    assert.equal(await other.getOrLease("a", 60_000), undefined, "another process has it");
    assert.equal(await other.get("a"), undefined, "a lease is no entry");
    await leaseOf(await other.getOrLease("b", 60_000)).end({ written: false });
    await one.set("a", entry(1));
    assert.deepEqual(await other.getOrLease("a", 60_000), { entry: entry(1) });
    await lease.end({ written: true });
    await one.delete("a");
    await leaseOf(await other.getOrLease("a", 60_000)).end({ written: false });
    const client = await redis.client();
    assert.deepEqual(await client.keys("cutcache:[ab]"), []);
    await client.close();
  }));

Deno.test("upstash store › a process whose lease came too late gets it when it asks again", () =>
  withTwo(async ({ one, other }) => {
    await leaseOf(await one.getOrLease("a", 60_000)).end({ written: true });
    const again = leaseOf(await one.getOrLease("a", 60_000));
    assert.equal(await other.getOrLease("a", 60_000), undefined);
    await again.end({ written: false });
    await leaseOf(await other.getOrLease("a", 60_000)).end({ written: false });
  }));

Deno.test("upstash store › a lease is renewed until its end, and a lost lease is not ended", () =>
  withTwo(async ({ one, other, redis }) => {
    const client = await redis.client();
    const lease = leaseOf(await one.getOrLease("a", 3000));
    for (let renewals = 0, before = 3000; renewals < 2;) {
      const left = await client.pTTL("cutcache:a");
      assert.ok(left > 0, "it has expired");
      if (left > before) renewals++;
      before = left;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(await other.getOrLease("a", 3000), undefined, "another process has it");
    // As if it had expired and another process had taken it.
    await client.set("cutcache:a", "LEASE another");
    await lease.end({ written: false });
    assert.equal(await client.get("cutcache:a"), "LEASE another");
    await client.close();
  }));

Deno.test("upstash store › a read-only Redis makes the lease fail instead of retrying forever", () =>
  withUpstash(async ({ store, redis, gateway }) => {
    const client = await redis.client();
    await client.set("cutcache:a", "corrupt");
    await client.replicaOf("127.0.0.1", 1);
    gateway.resetCounts();
    await assert.rejects(() => store.getOrLease("a", 60_000), /READONLY/);
    assert.equal(gateway.requests, 1);
    await client.close();
  }));

Deno.test("upstash store › with a sliding time to live, a read extends it in the same round trip", () =>
  withUpstash(async ({ store, redis, gateway }) => {
    const client = await redis.client();
    const [key] = keys("1");
    await store.set(key, entry(1));
    for (const name of await client.keys("*")) await client.expire(name, 5);
    gateway.resetCounts();
    assert.deepEqual(await store.get(key), entry(1));
    assert.equal(gateway.requests, 1);
    assert.ok(await client.ttl(`cutcache:${key}`) > 50);
    assert.ok(
      await client.ttl(`cutcache:image:${"1".repeat(64)}`) > 50,
      "otherwise deleting the image would not find the entry",
    );
    await client.replicaOf("127.0.0.1", 1);
    assert.deepEqual(await store.get(key), entry(1), "a read-only Redis can still be read");
    await client.close();
  }, { slidingTtl: true }));

Deno.test("sqlite store › with a sliding time to live, a read extends it", async () => {
  let now = 1000;
  const store = new SqliteStore({
    path: ":memory:",
    maxBytes: 10_000,
    ttlSeconds: 60,
    slidingTtl: true,
    now: () => now,
  });
  for (const key of ["read", "not read"]) await store.set(key, entry(1));
  now += 50_000;
  await store.get("read");
  await store.set("another", entry(2));
  now += 50_000;
  assert.ok(await store.get("read"));
  assert.equal(await store.get("not read"), undefined);
  store.close();
});

Deno.test("tiered store › asks the durable tier again once an entry in memory is stale", async () => {
  let now = 1000;
  const durable = new MemoryStore({ maxBytes: 10_000 });
  const memory = new MemoryStore({ maxBytes: 10_000, ttlSeconds: 60, now: () => now });
  const store = new TieredStore(memory, { ...plain(durable), name: "durable" });
  await store.set("a", entry(1));
  await durable.delete("a");
  now += 59_000;
  assert.equal((await store.find("a"))?.tier, "memory", "still fresh, although deleted elsewhere");
  assert.equal(await store.find("a", "durable"), undefined);
  now += 2_000;
  assert.equal(await store.find("a"), undefined);
  await durable.set("a", entry(2));
  assert.deepEqual(await store.find("a"), { entry: entry(2), tier: "durable" });
  assert.deepEqual(await store.find("a"), { entry: entry(2), tier: "memory" });
});

Deno.test("tiered store › if the durable tier is unavailable, memory serves stale entries", async () => {
  let now = 1000;
  const failing: Store = { ...plain(new MemoryStore({ maxBytes: 1 })), get: () => Promise.reject(new Error("down")) };
  const breaker = new CircuitBreakerStore(failing, {
    readTimeoutMs: 100,
    writeTimeoutMs: 100,
    breakMs: 60_000,
    logger: getLogger("test"),
  });
  const memory = new MemoryStore({ maxBytes: 10_000, ttlSeconds: 60, now: () => now });
  const store = new TieredStore(memory, breaker);
  memory.write("a", entry(1));
  now += 3_600_000;
  assert.deepEqual(await store.find("a"), { entry: entry(1), tier: "memory" });
  await assert.rejects(() => store.find("b"), StoreUnavailableError);
  // No store grants leases now, so everyone may infer.
  assert.ok("lease" in (await store.getOrLease("b", 1000))!);
  store.close();
});

function leaseOf(answer: Awaited<ReturnType<UpstashStore["getOrLease"]>>): Lease {
  assert.ok(answer && "lease" in answer, "no lease was granted");
  return answer.lease;
}

Deno.test("upstash store › reads a value from JSON in any notation", () =>
  withUpstash(async ({ store, redis, gateway }) => {
    // Base64 with slashes, which some JSON encoders write as \/.
    const slashes = { ...entry(255), created: 1 };
    await store.set("a", slashes);
    const client = await redis.client();
    const value = await client.get("cutcache:a");
    await client.close();
    assert.match(value!, /\/\//);
    const notations = [
      `{"result":"${value}"}`,
      `{"result":"${value!.replaceAll("/", "\\/")}"}`,
      ` { "result" : "${value}" }\n`,
      `{"id":1,"result":"${value}"}`,
    ];
    for (const notation of notations) {
      gateway.fault = () => new Response(notation, { headers: { "Content-Type": "application/json" } });
      assert.deepEqual(await store.get("a"), slashes, notation.slice(0, 20));
    }
  }));
