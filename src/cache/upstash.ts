import type { Redis } from "@upstash/redis";
import { messageOf } from "../base/errors.ts";
import { connectRedis, getValue, withoutCommand } from "../base/redis_client.ts";
import { decodeEntryFromText, encodedTextLength, encodeEntryAsText } from "./entry_codec.ts";
import { type ImageId, partsOf } from "./keys.ts";
import type { Entry, EntryInfo, EntryOrLease, Lease, Store, StoreStats } from "./store.ts";

/** Every key of ours begins with this, so that a Redis can be shared with others. */
const PREFIX = "cutcache:";
const RECENT_KEY = `${PREFIX}recent`;
/** Names the keys of what was made of an image, as a set. */
const imageKey = (image: ImageId) => `${PREFIX}image:${image}`;
const leaseKey = (key: string) => `${PREFIX}lease:${key}`;

/*
 * Scripts run as one, so that nothing comes between reading and writing
 * (https://redis.io/docs/latest/develop/programmability/eval-intro/).
 */

/**
 * The value of KEYS[1]; or, where there is none, a lease at KEYS[2] for ARGV[1] ms: a fencing token, larger than all that
 * were given before, since it is Redis's clock in microseconds.
 */
const GET_OR_LEASE = `
local value = redis.call('GET', KEYS[1])
if value then return {value, false} end
local time = redis.call('TIME')
local token = time[1] .. string.format('%06d', time[2])
if redis.call('SET', KEYS[2], token, 'NX', 'PX', ARGV[1]) then return {false, token} end
return {false, false}`;

/** The lease at KEYS[1] goes on for ARGV[2] ms, where it still is ARGV[1]'s. */
const RENEW = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`;

/** The lease at KEYS[1] ends, where it still is ARGV[1]'s: it may have run out and be somebody else's by now. */
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/** Deletes the keys in the set KEYS[1], and the set. */
const DELETE_IMAGE = `
local deleted = 0
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do deleted = deleted + redis.call('DEL', key) end
redis.call('DEL', KEYS[1])
return deleted`;

/** How many keys one step of a scan looks at. */
const SCAN_COUNT = 5000;

export interface UpstashStoreOptions {
  url: string;
  token: string;
  /** How long Redis keeps an entry, in seconds; 0: until it evicts it. */
  ttlSeconds: number;
  /** Whether that time begins anew with each read. */
  slidingTtl?: boolean;
  /** Deadlines in milliseconds, each for one HTTP request. */
  readTimeoutMs: number;
  writeTimeoutMs: number;
  /** Values whose encoded form is longer are not stored: REST gateways bound their request bodies. */
  maxValueBytes: number;
  /** How many recent names are kept for `list`. */
  recentLimit?: number;
}

/**
 * Redis over the Upstash REST protocol (https://upstash.com/docs/redis/features/restapi), as Upstash and
 * serverless-redis-http speak it. The protocol is JSON, so values are stored as text, with the file in base64.
 */
export class UpstashStore implements Store {
  readonly name = "redis";
  readonly #options: UpstashStoreOptions;
  readonly #reader: Redis;
  readonly #writer: Redis;

  constructor(options: UpstashStoreOptions) {
    this.#options = options;
    const { url, token } = options;
    const connect = (timeoutMs: number) => connectRedis({ url, token, timeoutMs, automaticDeserialization: false });
    this.#reader = connect(options.readTimeoutMs);
    this.#writer = connect(options.writeTimeoutMs);
  }

  async get(key: string): Promise<Entry | undefined> {
    const entry = await request(this.#read(PREFIX + key));
    // What is none of ours is deleted. A Redis that cannot be written keeps it, and it stays a miss.
    if (entry === undefined) await this.delete(key).catch(() => {});
    return entry ?? undefined;
  }

  async getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> {
    const [value, token] = await request(
      this.#reader.eval<[number], [string | null, string | null]>(
        GET_OR_LEASE,
        [PREFIX + key, leaseKey(key)],
        [milliseconds],
      ),
    );
    if (token !== null) return { lease: this.#hold(leaseKey(key), token, milliseconds) };
    if (value === null) return undefined;
    const entry = decodeEntryFromText(bytesOf(value));
    if (entry !== undefined) return { entry };
    // Not as in `get`: where it cannot be deleted, it would be found again and again.
    await this.delete(key);
    return await this.getOrLease(key, milliseconds);
  }

  async set(key: string, entry: Entry): Promise<void> {
    // Before it is encoded: it may be of many megabytes.
    if (encodedTextLength(entry) > this.#options.maxValueBytes) return;
    const value = encodeEntryAsText(entry);
    const info: EntryInfo = {
      key,
      contentType: entry.contentType,
      created: entry.created,
      bytes: entry.bytes.length,
    };
    const { ttlSeconds, recentLimit = 1000 } = this.#options;
    const image = partsOf(key)?.image;
    const pipeline = this.#writer.pipeline();
    if (ttlSeconds > 0) pipeline.set(PREFIX + key, value, { ex: ttlSeconds });
    else pipeline.set(PREFIX + key, value);
    if (image !== undefined) {
      pipeline.sadd(imageKey(image), PREFIX + key);
      // With a sliding time an entry may outlive this set, unless it is touched as well: see #read.
      if (ttlSeconds > 0) pipeline.expire(imageKey(image), ttlSeconds);
    }
    pipeline.lpush(RECENT_KEY, JSON.stringify(info));
    pipeline.ltrim(RECENT_KEY, 0, recentLimit - 1);
    await request(pipeline.exec());
  }

  async delete(key: string): Promise<boolean> {
    return await request(this.#writer.del(PREFIX + key)) > 0;
  }

  async deleteImage(image: ImageId): Promise<number> {
    return await request(this.#writer.eval<[], number>(DELETE_IMAGE, [imageKey(image)], []));
  }

  async clear(): Promise<number> {
    let deleted = 0;
    for await (const keys of this.#scan()) {
      if (keys.length > 0) await request(this.#writer.del(...keys));
      deleted += keys.filter(isEntryKey).length;
    }
    return deleted;
  }

  async list(limit: number): Promise<EntryInfo[]> {
    const { recentLimit = 1000 } = this.#options;
    const recent = await request(this.#reader.lrange<string>(RECENT_KEY, 0, recentLimit - 1));
    const infos = new Map<string, EntryInfo>();
    for (const text of recent) {
      try {
        const info = JSON.parse(text) as EntryInfo;
        if (!infos.has(info.key)) infos.set(info.key, info);
      } catch { /* foreign */ }
      if (infos.size === limit) break;
    }
    if (infos.size === 0) return [];
    // Deleted and evicted ones are still named.
    const pipeline = this.#reader.pipeline();
    for (const key of infos.keys()) pipeline.exists(PREFIX + key);
    const there = await request(pipeline.exec<number[]>());
    return [...infos.values()].filter((_, i) => there[i] === 1);
  }

  /** The entries are counted by a scan, a step of {@link SCAN_COUNT} keys at a time, which blocks nobody. */
  async stats(): Promise<StoreStats> {
    let entries = 0;
    for await (const keys of this.#scan()) entries += keys.filter(isEntryKey).length;
    return { entries };
  }

  async probe(what: "reads" | "writes"): Promise<void> {
    const key = `${PREFIX}probe`;
    await request(what === "reads" ? this.#reader.get(key) : this.#writer.set(key, "1", { px: 1 }));
  }

  /** One round trip, also where the time to live slides. Null where there is no value, undefined where it is not ours. */
  async #read(redisKey: string): Promise<Entry | undefined | null> {
    const { url, token, readTimeoutMs: timeoutMs, slidingTtl, ttlSeconds } = this.#options;
    const read = () => getValue({ url, token, timeoutMs }, redisKey, decodeEntryFromText);
    if (!slidingTtl || ttlSeconds === 0) return await read();
    const image = partsOf(redisKey.slice(PREFIX.length))?.image;
    try {
      const pipeline = this.#reader.pipeline().getex(redisKey, { ex: ttlSeconds });
      if (image !== undefined) pipeline.expire(imageKey(image), ttlSeconds);
      const [value] = await pipeline.exec<[string | null]>();
      return value === null ? null : decodeEntryFromText(bytesOf(value));
    } catch (error) {
      // To touch is to write, and a replica or a full Redis does not take that.
      if (!/READONLY|OOM/.test(String(error))) throw error;
      return await read();
    }
  }

  #hold(key: string, token: string, milliseconds: number): Lease {
    const renewal = setInterval(() => {
      // One that fails is made up for by the next, or another process takes over.
      request(this.#writer.eval(RENEW, [key], [token, milliseconds])).catch(() => {});
    }, milliseconds / 3);
    Deno.unrefTimer(Number(renewal));
    return {
      release: async () => {
        clearInterval(renewal);
        await request(this.#writer.eval(RELEASE, [key], [token]));
      },
    };
  }

  async *#scan(): AsyncGenerator<string[]> {
    let cursor = "0";
    do {
      const [next, keys] = await request(this.#writer.scan(cursor, { match: `${PREFIX}*`, count: SCAN_COUNT }));
      yield keys;
      cursor = String(next);
    } while (cursor !== "0");
  }
}

/** Whether a key of ours holds an entry, and not names or a lease. */
function isEntryKey(redisKey: string): boolean {
  return partsOf(redisKey.slice(PREFIX.length)) !== undefined;
}

/** Whatever stands where a value of ours should: not each is text. */
function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(String(value));
}

/** Errors of the SDK, in a few words. */
async function request<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw new Error(withoutCommand(messageOf(error)).slice(0, 300));
  }
}
