import assert from "node:assert/strict";
import type { ImageId } from "../../src/cache/keys.ts";
import type { Entry } from "../../src/cache/store.ts";
import type { UpstashStoreOptions } from "../../src/cache/upstash.ts";
import type { RedisServer } from "../support/redis.ts";
import { type UpstashParts, withUpstash } from "../support/upstash_store.ts";

const IMAGE = "1".repeat(64) as ImageId;
const KEY = `cutout:v:${IMAGE}:a`;
const MASK_KEY = `mask:v:${IMAGE}`;

/** Bytes that do not compress, so that a wrong part would show. */
const entry = (size: number, created = 1): Entry => {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return { bytes, contentType: "image/png", created, etag: `${created}` };
};

/** As {@link withUpstash}, with room for large values and a client of the Redis. */
async function withStore(
  use: (parts: UpstashParts & { client: Awaited<ReturnType<RedisServer["client"]>> }) => Promise<void>,
  options: Partial<UpstashStoreOptions> = {},
): Promise<void> {
  await withUpstash(async (parts) => {
    const client = await parts.redis.client();
    try {
      await use({ ...parts, client });
    } finally {
      await client.close();
    }
  }, { maxValueBytes: 16_777_216, ...options });
}

const same = (a: Entry | undefined, b: Entry) => {
  assert.ok(a);
  assert.deepEqual([a.etag, a.created, a.contentType], [b.etag, b.created, b.contentType]);
  assert.equal(new Uint8Array(a.bytes).toHex() === new Uint8Array(b.bytes).toHex(), true, "other bytes");
};

Deno.test("large results › are stored in parts below the gateway's limit, and read in two requests", () =>
  withStore(async ({ store, gateway, client }) => {
    const large = entry(4_000_000);
    let largest = 0;
    gateway.fault = async (request) => {
      largest = Math.max(largest, (await request.clone().arrayBuffer()).byteLength);
      return undefined;
    };
    await store.set(KEY, large);
    assert.ok(largest <= 1_000_000, `${largest} bytes in one request`);
    gateway.resetCounts();
    same(await store.get(KEY), large);
    assert.equal(gateway.requests, 2, "the list of parts, and the parts");
    const parts = await client.keys("cutcache:part:*");
    assert.equal(parts.length, 6);
    for (const key of [...parts, `cutcache:${KEY}`, `cutcache:image:${IMAGE}`]) {
      const ttl = await client.ttl(key);
      assert.ok(ttl > 50 && ttl <= 60, `${key} expires in ${ttl} s`);
    }
    assert.equal((await store.stats()).entries, 1);
    assert.equal((await store.list(10)).length, 1);
  }));

Deno.test("large results › of 12 MB are read in bounded requests", () =>
  withStore(async ({ store, gateway }) => {
    const large = entry(12_000_000);
    await store.set(KEY, large);
    gateway.resetCounts();
    same(await store.get(KEY), large);
    assert.equal(gateway.requests, 4, "16 MB of base64, at most 8 MB at a time");
  }));

Deno.test("large results › are replaced and deleted with all their parts", () =>
  withStore(async ({ store, client }) => {
    await store.set(KEY, entry(2_000_000, 1));
    const second = entry(3_000_000, 2);
    await store.set(KEY, second);
    same(await store.get(KEY), second);
    assert.equal((await client.keys("cutcache:part:*")).length, 5, "the first ones are gone");
    assert.equal(await store.delete(KEY), true);
    assert.deepEqual(await client.keys("cutcache:part:*"), []);

    await store.setAll(new Map([[KEY, second], [MASK_KEY, entry(100)]]));
    assert.equal(await store.deleteImage(IMAGE), 2);
    assert.deepEqual(await client.keys("cutcache:[cmip]*"), []);

    await store.set(KEY, second);
    assert.equal(await store.clear(), 1);
    assert.equal(await client.dbSize(), 0);
  }));

Deno.test("large results › with a part missing, cut off or of another write are misses, and are deleted", () =>
  withStore(async ({ store, client }) => {
    const spoil: ((parts: string[]) => Promise<unknown>)[] = [
      (parts) => client.del(parts[1]),
      async (parts) => client.set(parts[0], (await client.get(parts[0]))!.slice(1)),
      async (parts) => client.set(parts[0], (await client.get(parts[1]))!),
      async (parts) => client.set(parts[0], (await client.get(parts[0]))! + "AAAA"),
    ];
    for (const act of spoil) {
      await store.set(KEY, entry(2_000_000));
      await act((await client.keys("cutcache:part:*")).sort());
      assert.equal(await store.get(KEY), undefined);
      assert.deepEqual(await client.keys("cutcache:[cp]*"), []);
    }
  }));

Deno.test("large results › are written by any number of processes at once, and read whole", () =>
  withStore(async ({ store }) => {
    const versions = Array.from({ length: 6 }, (_, i) => entry(1_500_000, i + 1));
    const reads: Promise<Entry | undefined>[] = [];
    await Promise.all(versions.map(async (version) => {
      await store.set(KEY, version);
      reads.push(store.get(KEY));
    }));
    for (const read of await Promise.all(reads)) {
      if (read !== undefined) same(read, versions[read.created - 1]);
    }
    const last = entry(1_500_000, 7);
    await store.set(KEY, last);
    same(await store.get(KEY), last);
  }));

Deno.test("large results › over the limit are not stored, and leave nothing behind", () =>
  withStore(async ({ store, client }) => {
    await store.set(KEY, entry(100));
    await store.set(KEY, entry(2_000_000));
    assert.equal(await store.get(KEY), undefined);
    assert.deepEqual(await client.keys("cutcache:[cp]*"), []);
  }, { maxValueBytes: 1_500_000 }));

Deno.test("upstash store › an answer that is damaged on its way is read once more, and costs nothing", () =>
  withStore(async ({ store, gateway, client }) => {
    const good = entry(1000);
    await store.set(KEY, good);
    const text = (await client.get(`cutcache:${KEY}`))!;
    const damaged = text.slice(0, 500) + (text[500] === "A" ? "B" : "A") + text.slice(501);
    let answers = 0;
    gateway.fault = () => answers++ === 0 ? Response.json({ result: damaged }) : undefined;
    same(await store.get(KEY), good);
    assert.equal(answers, 2);
    assert.equal(await client.get(`cutcache:${KEY}`), text, "the good value is still there");
  }));

Deno.test("upstash store › a key of another type and a value that the gateway refuses are not the store's failure", () =>
  withStore(async ({ store, gateway, client }) => {
    await client.lPush(`cutcache:${KEY}`, "a list");
    await assert.rejects(() => store.get(KEY), { name: "ValueRefusedError" });
    await assert.rejects(() => store.getOrLease(KEY, 1000), { name: "ValueRefusedError" });
    await store.set(KEY, entry(100));
    assert.ok(await store.get(KEY), "a write replaces it");
    for (const status of [413, 500]) {
      gateway.fault = () => new Response(null, { status });
      await assert.rejects(() => store.set(KEY, entry(100)), { name: "ValueRefusedError" });
      await assert.rejects(() => store.get(KEY), { name: "ValueRefusedError" });
    }
    gateway.fault = () => Response.json({ error: "Unable to connect" }, { status: 500 });
    await assert.rejects(() => store.get(KEY), { name: "Error" });
  }));
