import { setTimeout as delay } from "node:timers/promises";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { cutoutKey, maskKey } from "../src/cache/keys.ts";
import type { Sha256Hex } from "../src/base/hash.ts";
import { MemoryStore } from "../src/cache/memory.ts";
import { SqliteStore } from "../src/cache/sqlite.ts";
import type { Entry, Store } from "../src/cache/store.ts";
import { UpstashStore } from "../src/cache/upstash.ts";
import { RedisServer } from "../tests/support/redis.ts";
import { ensureTestTools } from "../tests/support/tools.ts";
import { UpstashGateway } from "../tests/support/upstash_gateway.ts";
import type { Bench } from "./bench.ts";
import { percentile, threeDigits } from "./measure.ts";

/** The mask and the cutout of an image of 0.3 to 0.7 megapixels, in bytes. */
const MASK_BYTES = 12_000;
const CUTOUT_BYTES = 400_000;

const DAY_SECONDS = 86_400;

export const stores: Bench = {
  name: "stores",
  summary: "space that an image takes in each store, and time to write and read it",
  duration: "20 s",
  options: [{ name: "images", summary: "how many images are added", fallback: 200 }],

  async run(values, report) {
    const images = values.number("images");
    const rows: Row[] = [];
    report("memory");
    rows.push(await measure(images, new MemoryStore({ maxBytes: 2 ** 31 }), heapSize));
    report("SQLite");
    const folder = await Deno.makeTempDir({ prefix: "cutcache-bench-" });
    try {
      const path = `${folder}/cutcache.sqlite`;
      const sqlite = new SqliteStore({ path, maxBytes: 2 ** 31, ttlSeconds: DAY_SECONDS });
      rows.push(await measure(images, sqlite, () => Promise.resolve(folderSize(folder))));
      sqlite.close?.();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    report("Redis");
    await ensureTestTools();
    await using redis = await RedisServer.start();
    await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
    const client = await redis.client();
    const store = new UpstashStore({
      url: gateway.url,
      token: gateway.token,
      ttlSeconds: DAY_SECONDS,
      timeoutMs: 5000,
      maxValueBytes: 1_048_576,
      maxRequestBytes: 1_000_000,
    });
    rows.push(
      await measure(images, store, async () => Number(/used_memory:(\d+)/.exec(await client.info("memory"))![1])),
    );
    await client.close();
    return [{
      caption: `${images} images, each a mask of ${MASK_BYTES / 1000} KB and a cutout of ${CUTOUT_BYTES / 1000} KB. ` +
        "Redis stores base64, which is a third longer. Times are for one entry of the cutout's size.",
      rows,
    }];
  },
};

interface Row {
  store: string;
  "KB per image": number;
  overhead: string;
  "write (ms)": number;
  "read (ms)": number;
}

async function measure(images: number, store: Store, size: () => Promise<number>): Promise<Row> {
  const before = await size();
  const writes: number[] = [];
  const reads: number[] = [];
  const ids = Array.from({ length: images }, (_, i) => i.toString(16).padStart(64, "0") as Sha256Hex);
  for (const id of ids) {
    await store.set(maskKey("model", id), entryOf(MASK_BYTES));
    const entry = entryOf(CUTOUT_BYTES);
    const began = performance.now();
    await store.set(cutoutKey("model", id, "0123456789abcdef"), entry);
    writes.push(performance.now() - began);
  }
  const bytes = (await size() - before) / images;
  for (const id of ids) {
    const began = performance.now();
    if (await store.get(cutoutKey("model", id, "0123456789abcdef")) === undefined) {
      throw new Error("a stored entry was not found");
    }
    reads.push(performance.now() - began);
  }
  return {
    store: store.name,
    "KB per image": Math.round(bytes / 1000),
    overhead: `${((bytes / (MASK_BYTES + CUTOUT_BYTES) - 1) * 100).toFixed(1)} %`,
    "write (ms)": threeDigits(percentile(writes, 0.5)),
    "read (ms)": threeDigits(percentile(reads, 0.5)),
  };
}

/** An entry of incompressible bytes, like those of PNG files. */
function entryOf(length: number): Entry {
  const bytes = new Uint8Array(length);
  const MAX_RANDOM_BYTES = 65_536;
  for (let at = 0; at < length; at += MAX_RANDOM_BYTES) {
    crypto.getRandomValues(bytes.subarray(at, at + MAX_RANDOM_BYTES));
  }
  return {
    bytes,
    contentType: "image/png",
    created: Date.now(),
    etag: "0".repeat(32),
    layout: { width: 1000, height: 667, foreground: { left: 0, top: 0, width: 1000, height: 667 } },
  };
}

async function heapSize(): Promise<number> {
  // Collected now, so that garbage of other benches is not collected between two measurements.
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  // Another thread frees buffers.
  await delay(200);
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

function folderSize(folder: string): number {
  return [...Deno.readDirSync(folder)].reduce((sum, { name }) => sum + Deno.statSync(`${folder}/${name}`).size, 0);
}
