import type { Redis } from "@upstash/redis";
import { messageOf } from "../base/errors.ts";
import { connectRedis, getValue, withoutCommand } from "../base/redis_client.ts";
import { decodeEntryFromText, encodedTextLength, encodeEntryAsText } from "./entry_codec.ts";
import { type ImageId, parseKey } from "./keys.ts";
import type { Entry, EntryInfo, EntryOrLease, Lease, Store, StoreStats } from "./store.ts";

/** Every key starts with this, so that Cutcache can share a Redis with other applications. */
const PREFIX = "cutcache:";
const RECENT_KEY = `${PREFIX}recent`;
/** The set of the keys of all entries of an image. */
const imageKey = (image: ImageId) => `${PREFIX}image:${image}`;
const leaseKey = (key: string) => `${PREFIX}lease:${key}`;

/*
 * Scripts are atomic: no other command runs between their reads and writes
 * (https://redis.io/docs/latest/develop/programmability/eval-intro/).
 */

/**
 * Returns the value at KEYS[1]. If there is none, takes a lease at KEYS[2] for ARGV[1] ms and returns its fencing token,
 * which is larger than all earlier ones: it is Redis's clock in microseconds.
 */
const GET_OR_LEASE = `
local value = redis.call('GET', KEYS[1])
if value then return {value, false} end
local time = redis.call('TIME')
local token = time[1] .. string.format('%06d', time[2])
if redis.call('SET', KEYS[2], token, 'NX', 'PX', ARGV[1]) then return {false, token} end
return {false, false}`;

/** Extends the lease at KEYS[1] by ARGV[2] ms if ARGV[1] is still its token. */
const RENEW = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`;

/** Ends the lease at KEYS[1] if ARGV[1] is still its token: it may have expired and gone to another process. */
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/** Deletes the set at KEYS[1] and the keys that it lists. Returns the number of those keys. */
const DELETE_IMAGE = `
local deleted = 0
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do deleted = deleted + redis.call('DEL', key) end
redis.call('DEL', KEYS[1])
return deleted`;

/** The number of keys that one step of a scan examines. */
const SCAN_COUNT = 5000;

const DEFAULT_RECENT_LIMIT = 1000;

/** In characters. Some gateways answer with whole pages of HTML. */
const MAX_ERROR_LENGTH = 300;

export interface UpstashStoreOptions {
  url: string;
  token: string;
  /** How long Redis keeps an entry, in seconds; 0: until Redis evicts it. */
  ttlSeconds: number;
  /** Whether a read restarts that time. Default: false. */
  slidingTtl?: boolean;
  /** How long one HTTP request that reads may take, in milliseconds. */
  readTimeoutMs: number;
  /** How long one HTTP request that writes may take, in milliseconds. */
  writeTimeoutMs: number;
  /** The maximum size of a value as encoded. Larger ones are not stored: REST gateways limit their request bodies. */
  maxValueBytes: number;
  /** The number of newest entries that `list` can return. Default: 1000. */
  recentLimit?: number;
}

/**
 * Redis over the Upstash REST protocol (https://upstash.com/docs/redis/features/restapi), which Upstash and
 * serverless-redis-http implement. The protocol is JSON, so values are stored as text, with the file in base64.
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
    const entry = await withShortError(this.#read(PREFIX + key));
    // A value that cannot be decoded is deleted. If Redis is read-only, it stays, and stays a miss.
    if (entry === undefined) await this.delete(key).catch(() => {});
    return entry ?? undefined;
  }

  async getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> {
    const [value, token] = await withShortError(
      this.#reader.eval<[number], [string | null, string | null]>(
        GET_OR_LEASE,
        [PREFIX + key, leaseKey(key)],
        [milliseconds],
      ),
    );
    if (token !== null) return { lease: this.#lease(leaseKey(key), token, milliseconds) };
    if (value === null) return undefined;
    const entry = decodeEntryFromText(bytesOf(value));
    if (entry !== undefined) return { entry };
    // Unlike in `get`, a failure to delete is an error: this would find the same value again and again.
    await this.delete(key);
    return await this.getOrLease(key, milliseconds);
  }

  async set(key: string, entry: Entry): Promise<void> {
    // Checked before the value is encoded, which may have many megabytes.
    if (encodedTextLength(entry) > this.#options.maxValueBytes) return;
    const value = encodeEntryAsText(entry);
    const info: EntryInfo = {
      key,
      contentType: entry.contentType,
      created: entry.created,
      bytes: entry.bytes.length,
    };
    const { ttlSeconds, recentLimit = DEFAULT_RECENT_LIMIT } = this.#options;
    const image = parseKey(key)?.image;
    const pipeline = this.#writer.pipeline();
    if (ttlSeconds > 0) pipeline.set(PREFIX + key, value, { ex: ttlSeconds });
    else pipeline.set(PREFIX + key, value);
    if (image !== undefined) {
      pipeline.sadd(imageKey(image), PREFIX + key);
      // With a sliding time to live, #read extends this too: otherwise the entry would outlive its set.
      if (ttlSeconds > 0) pipeline.expire(imageKey(image), ttlSeconds);
    }
    pipeline.lpush(RECENT_KEY, JSON.stringify(info));
    pipeline.ltrim(RECENT_KEY, 0, recentLimit - 1);
    await withShortError(pipeline.exec());
  }

  async delete(key: string): Promise<boolean> {
    return await withShortError(this.#writer.del(PREFIX + key)) > 0;
  }

  async deleteImage(image: ImageId): Promise<number> {
    return await withShortError(this.#writer.eval<[], number>(DELETE_IMAGE, [imageKey(image)], []));
  }

  async clear(): Promise<number> {
    let deleted = 0;
    for await (const keys of this.#scan()) {
      if (keys.length > 0) await withShortError(this.#writer.del(...keys));
      deleted += keys.filter(isEntryKey).length;
    }
    return deleted;
  }

  async list(limit: number): Promise<EntryInfo[]> {
    const { recentLimit = DEFAULT_RECENT_LIMIT } = this.#options;
    const recent = await withShortError(this.#reader.lrange<string>(RECENT_KEY, 0, recentLimit - 1));
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
    const pipeline = this.#reader.pipeline();
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
    await withShortError(access === "reads" ? this.#reader.get(key) : this.#writer.set(key, "1", { px: 1 }));
  }

  /**
   * Takes one round trip, also with a sliding time to live.
   * @returns null if there is no value, undefined if the value cannot be decoded.
   */
  async #read(redisKey: string): Promise<Entry | undefined | null> {
    const { url, token, readTimeoutMs: timeoutMs, slidingTtl, ttlSeconds } = this.#options;
    const read = () => getValue({ url, token, timeoutMs }, redisKey, decodeEntryFromText);
    if (!slidingTtl || ttlSeconds === 0) return await read();
    const image = parseKey(redisKey.slice(PREFIX.length))?.image;
    try {
      const pipeline = this.#reader.pipeline().getex(redisKey, { ex: ttlSeconds });
      if (image !== undefined) pipeline.expire(imageKey(image), ttlSeconds);
      const [value] = await pipeline.exec<[string | null]>();
      return value === null ? null : decodeEntryFromText(bytesOf(value));
    } catch (error) {
      // Extending the time to live is a write, which a replica or a full Redis refuses.
      if (!/READONLY|OOM/.test(String(error))) throw error;
      return await read();
    }
  }

  #lease(key: string, token: string, milliseconds: number): Lease {
    const renewal = setInterval(() => {
      // If one renewal fails, the next makes up for it. If all fail, another process takes over.
      withShortError(this.#writer.eval(RENEW, [key], [token, milliseconds])).catch(() => {});
    }, milliseconds / 3);
    Deno.unrefTimer(Number(renewal));
    return {
      release: async () => {
        clearInterval(renewal);
        await withShortError(this.#writer.eval(RELEASE, [key], [token]));
      },
    };
  }

  async *#scan(): AsyncGenerator<string[]> {
    let cursor = "0";
    do {
      const [next, keys] = await withShortError(this.#writer.scan(cursor, { match: `${PREFIX}*`, count: SCAN_COUNT }));
      yield keys;
      cursor = String(next);
    } while (cursor !== "0");
  }
}

/** Whether a key has an entry, rather than a set, a list or a lease. */
function isEntryKey(redisKey: string): boolean {
  return parseKey(redisKey.slice(PREFIX.length)) !== undefined;
}

/** The bytes of a value in Redis. A foreign one need not be text. */
function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(String(value));
}

/** Rejects with the SDK's error message without the command that it quotes. */
async function withShortError<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply;
  } catch (error) {
    throw new Error(withoutCommand(messageOf(error)).slice(0, MAX_ERROR_LENGTH));
  }
}
