import type { Redis } from "@upstash/redis";
import { connectRedis, sendForText } from "../base/redis_client.ts";
import { type ImageId, parseKey } from "./keys.ts";
import { bytesOf, type Command, PART_PREFIX, PREFIX, RedisValues, withShortError } from "./redis_values.ts";
import { leaseMarker, parseValue, type StoredValue } from "./redis_value_text.ts";
import type { Entry, EntryInfo, EntryOrLease, Lease, Store, StoreStats } from "./store.ts";

const RECENT_KEY = `${PREFIX}recent`;
/** The set of the keys of all entries of an image, and of their parts. */
const imageKey = (image: ImageId) => `${PREFIX}image:${image}`;

/*
 * Scripts are atomic: no other command runs between their reads and writes
 * (https://redis.io/docs/latest/develop/programmability/eval-intro/).
 */

/** Extends the lease at KEYS[1] by ARGV[2] ms if ARGV[1] still stands there. */
const RENEW = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`;

/** Ends the lease at KEYS[1] if ARGV[1] still stands there: it may have expired, or the entry may have been written. */
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/** Deletes the set at KEYS[1] and the keys that it lists. Returns the number of those that do not start with ARGV[1]. */
const DELETE_IMAGE = `
local deleted = 0
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local gone = redis.call('DEL', key)
  if string.sub(key, 1, #ARGV[1]) ~= ARGV[1] then deleted = deleted + gone end
end
redis.call('DEL', KEYS[1])
return deleted`;

/** The number of keys that one step of a scan examines. */
const SCAN_COUNT = 5000;

const DEFAULT_RECENT_LIMIT = 1000;

export interface UpstashStoreOptions {
  url: string;
  token: string;
  /** How long Redis keeps an entry, in seconds; 0: until Redis evicts it. */
  ttlSeconds: number;
  /** Whether a read restarts that time. Default: false. */
  slidingTtl?: boolean;
  /** When an HTTP request is given up, in milliseconds. Callers may stop waiting earlier. */
  timeoutMs: number;
  /** The maximum size of an entry as encoded. Larger ones are not stored. */
  maxValueBytes: number;
  /** The maximum size of a request: gateways limit it. Larger entries are written in parts. */
  maxRequestBytes: number;
  /** The number of newest entries that `list` can return. Default: 1000. */
  recentLimit?: number;
}

/**
 * Redis over the Upstash REST protocol (https://upstash.com/docs/redis/features/restapi), which Upstash and
 * serverless-redis-http implement. The protocol is JSON, so values are stored as text, with the file in base64.
 * Needs Redis 7.0 or later for leases.
 */
export class UpstashStore implements Store {
  readonly name = "redis";
  readonly #options: UpstashStoreOptions;
  readonly #redis: Redis;
  readonly #values: RedisValues;
  /** Stands in the leases of this process. */
  readonly #owner = crypto.randomUUID();

  constructor(options: UpstashStoreOptions) {
    this.#options = options;
    const { url, token, timeoutMs } = options;
    this.#redis = connectRedis({ url, token, timeoutMs, automaticDeserialization: false });
    this.#values = new RedisValues(this.#redis, options);
  }

  async get(key: string, onLength?: (bytes: number) => void): Promise<Entry | undefined> {
    const value = await this.#values.read(PREFIX + key, () => this.#read(PREFIX + key, onLength), onLength);
    if (value === undefined) return undefined;
    if ("entry" in value) return value.entry;
    // If Redis is read-only, the value stays, and stays a miss.
    if ("damaged" in value) await this.delete(key).catch(() => {});
    return undefined;
  }

  /**
   * One command: it sets the lease if there is nothing, and else returns the entry or the lease of another process.
   * If this process has the lease already, because an answer came too late, it keeps it.
   */
  async getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> {
    const redisKey = PREFIX + key;
    const marker = leaseMarker(this.#owner);
    const claim = ["SET", redisKey, marker, "NX", "GET", "PX", milliseconds];
    const value = await this.#values.read(redisKey, () => sendForText(this.#options, claim, parseValue));
    if (value === undefined) return { lease: this.#lease(redisKey, marker, milliseconds) };
    if ("entry" in value) return value;
    if ("owner" in value) {
      return value.owner === this.#owner ? { lease: this.#lease(redisKey, marker, milliseconds) } : undefined;
    }
    // Unlike in `get`, a failure to delete is an error: this would find the same value again and again.
    await this.delete(key);
    return await this.getOrLease(key, milliseconds);
  }

  async set(key: string, entry: Entry): Promise<void> {
    await this.setAll(new Map([[key, entry]]));
  }

  /**
   * Writes entries of one image in one request, or in as few as their size allows. The index comes first: an entry that
   * is not in it could not be deleted with its image. An entry replaces a lease at its key.
   */
  async setAll(entries: ReadonlyMap<string, Entry>): Promise<void> {
    const writes = await Promise.all([...entries].map(([key, entry]) => this.#values.put(PREFIX + key, entry)));
    const infos = [...entries].filter((_, i) => writes[i].keys.length > 0).map(([key, entry]) => {
      const { contentType, created, bytes } = entry;
      return JSON.stringify({ key, contentType, created, bytes: bytes.length } satisfies EntryInfo);
    });
    await this.#values.send([
      ...this.#index(entries, writes.flatMap(({ keys }) => keys)),
      ...writes.flatMap(({ commands }) => commands),
      ...this.#recent(infos),
    ]);
    await this.#values.deleteKeys(writes.flatMap(({ replaced }) => replaced));
  }

  async delete(key: string): Promise<boolean> {
    return await this.#values.delete(PREFIX + key);
  }

  async deleteImage(image: ImageId): Promise<number> {
    return await withShortError(this.#redis.eval<[string], number>(DELETE_IMAGE, [imageKey(image)], [PART_PREFIX]));
  }

  async clear(): Promise<number> {
    let deleted = 0;
    for await (const keys of this.#scan()) {
      if (keys.length > 0) await withShortError(this.#redis.del(...keys));
      deleted += keys.filter(isEntryKey).length;
    }
    return deleted;
  }

  async list(limit: number): Promise<EntryInfo[]> {
    const { recentLimit = DEFAULT_RECENT_LIMIT } = this.#options;
    const recent = await withShortError(this.#redis.lrange<string>(RECENT_KEY, 0, recentLimit - 1));
    const infos = new Map<string, EntryInfo>();
    for (const text of recent) {
      try {
        const info = JSON.parse(text) as EntryInfo;
        if (!infos.has(info.key)) infos.set(info.key, info);
      } catch { /* Not written by Cutcache. */ }
      if (infos.size === limit) break;
    }
    if (infos.size === 0) return [];
    // The list still has entries that were deleted or evicted.
    const pipeline = this.#redis.pipeline();
    for (const key of infos.keys()) pipeline.exists(PREFIX + key);
    const exists = await withShortError(pipeline.exec<number[]>());
    return [...infos.values()].filter((_, i) => exists[i] === 1);
  }

  /** Counts the entries by a scan in steps of {@link SCAN_COUNT} keys, which does not block other clients. */
  async stats(): Promise<StoreStats> {
    let entries = 0;
    for await (const keys of this.#scan()) entries += keys.filter(isEntryKey).length;
    return { entries };
  }

  async probe(access: "reads" | "writes"): Promise<void> {
    const key = `${PREFIX}probe`;
    await withShortError(access === "reads" ? this.#redis.get(key) : this.#redis.set(key, "1", { px: 1 }));
  }

  /**
   * Takes one round trip, also with a sliding time to live.
   * @returns null if there is no value, undefined if the value cannot be decoded.
   */
  async #read(redisKey: string, onLength?: (bytes: number) => void): Promise<StoredValue | undefined | null> {
    const { slidingTtl, ttlSeconds } = this.#options;
    const read = () => sendForText(this.#options, ["GET", redisKey], parseValue, onLength);
    if (!slidingTtl || ttlSeconds === 0) return await read();
    const image = parseKey(redisKey.slice(PREFIX.length))?.image;
    try {
      const pipeline = this.#redis.pipeline().getex(redisKey, { ex: ttlSeconds });
      if (image !== undefined) pipeline.expire(imageKey(image), ttlSeconds);
      const [value] = await pipeline.exec<[string | null]>();
      return value === null ? null : parseValue(bytesOf(value));
    } catch (error) {
      // Extending the time to live is a write, which a replica or a full Redis refuses.
      if (!/READONLY|OOM/.test(String(error))) throw error;
      return await read();
    }
  }

  /** Lists the keys of entries and parts in the set of their image. */
  #index(entries: ReadonlyMap<string, Entry>, members: string[]): Command[] {
    const image = [...entries.keys()].map((key) => parseKey(key)?.image).find((image) => image !== undefined);
    const [first, ...rest] = members;
    if (image === undefined || first === undefined) return [];
    const { ttlSeconds } = this.#options;
    const bytes = members.join().length;
    const index: Command = { bytes, addTo: (pipeline) => pipeline.sadd(imageKey(image), first, ...rest) };
    // With a sliding time to live, #read extends this too: otherwise the entry would outlive its set.
    const expire: Command = { bytes: 0, addTo: (pipeline) => pipeline.expire(imageKey(image), ttlSeconds) };
    return ttlSeconds > 0 ? [index, expire] : [index];
  }

  #recent(infos: string[]): Command[] {
    const { recentLimit = DEFAULT_RECENT_LIMIT } = this.#options;
    if (infos.length === 0) return [];
    return [
      { bytes: infos.join().length, addTo: (pipeline) => pipeline.lpush(RECENT_KEY, ...infos) },
      { bytes: 0, addTo: (pipeline) => pipeline.ltrim(RECENT_KEY, 0, recentLimit - 1) },
    ];
  }

  #lease(redisKey: string, marker: string, milliseconds: number): Lease {
    const renewal = setInterval(() => {
      // If one renewal fails, the next makes up for it. If all fail, another process takes over.
      withShortError(this.#redis.eval(RENEW, [redisKey], [marker, milliseconds])).catch(() => {});
    }, milliseconds / 3);
    Deno.unrefTimer(Number(renewal));
    return {
      end: async ({ written }) => {
        clearInterval(renewal);
        if (!written) await withShortError(this.#redis.eval(RELEASE, [redisKey], [marker]));
      },
    };
  }

  async *#scan(): AsyncGenerator<string[]> {
    let cursor = "0";
    do {
      const [next, keys] = await withShortError(this.#redis.scan(cursor, { match: `${PREFIX}*`, count: SCAN_COUNT }));
      yield keys;
      cursor = String(next);
    } while (cursor !== "0");
  }
}

/** Whether a key has an entry, rather than a set, a list or a lease. */
function isEntryKey(redisKey: string): boolean {
  return parseKey(redisKey.slice(PREFIX.length)) !== undefined;
}
