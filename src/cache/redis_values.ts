import type { Pipeline, Redis } from "@upstash/redis";
import { messageOf } from "../base/errors.ts";
import { withoutCommand } from "../base/redis_client.ts";
import { decodeEntryFromText, encodedTextLength, encodeEntryAsText } from "./entry_codec.ts";
import {
  MAX_MARKER_LENGTH,
  parseParts,
  type PartList,
  partsMarker,
  splitText,
  type StoredValue,
} from "./redis_value_text.ts";
import { type Entry, ValueRefusedError } from "./store.ts";

/** Every key starts with this, so that Cutcache can share a Redis with other applications. */
export const PREFIX = "cutcache:";
export const PART_PREFIX = `${PREFIX}part:`;
const partKeys = ({ id, count }: PartList) => Array.from({ length: count }, (_, i) => `${PART_PREFIX}${id}:${i}`);

/** What a request has in addition to its values, in bytes: commands, keys, JSON. */
const REQUEST_OVERHEAD_BYTES = 2000;

/** The parts that one request reads together have at most this many characters, or are a single one. */
const READ_LENGTH = 8_000_000;

export interface RedisValuesOptions {
  /** How long Redis keeps an entry, in seconds; 0: until Redis evicts it. */
  ttlSeconds: number;
  /** Whether a read restarts that time. Default: false. */
  slidingTtl?: boolean;
  /** The maximum size of an entry as encoded. Larger ones are not stored. */
  maxValueBytes: number;
  /** The maximum size of a request: gateways limit it. Larger entries are written in parts. */
  maxRequestBytes: number;
}

/** A command of a pipeline, and about how many bytes it adds to the request. */
export interface Command {
  readonly bytes: number;
  addTo(pipeline: Pipeline): void;
}

/** What it takes to write one entry. */
export interface EntryWrite {
  /** In the order in which they must be sent: the parts come before the list that names them. */
  readonly commands: readonly Command[];
  /** The keys that will exist. */
  readonly keys: readonly string[];
  /** The keys to delete afterwards: parts of the entry that was replaced. */
  readonly replaced: readonly string[];
}

/** Reads, writes and deletes the values of entries in Redis, those too large for one request in parts. */
export class RedisValues {
  readonly #redis: Redis;
  readonly #options: RedisValuesOptions;

  constructor(redis: Redis, options: RedisValuesOptions) {
    this.#redis = redis;
    this.#options = options;
  }

  /**
   * Reads a value, with its parts. If it is damaged, reads it once more: the answer may have been damaged on its way.
   * @param get reads the text at the key: null if there is none, undefined if it cannot be parsed.
   * @returns undefined if there is no value.
   */
  async read(
    redisKey: string,
    get: () => Promise<StoredValue | undefined | null>,
    onLength?: (bytes: number) => void,
  ): Promise<{ entry: Entry } | { owner: string } | { damaged: string } | undefined> {
    for (let attempt = 1; attempt <= 2; attempt++) {
      const value = await withShortError(get());
      if (value === null) return undefined;
      if (value !== undefined && !("parts" in value)) return value;
      // Written by a process with another limit.
      if (value !== undefined && value.parts.length > this.#options.maxValueBytes) return undefined;
      const entry = value && await withShortError(this.#readParts(value.parts, onLength));
      if (entry !== undefined) return { entry };
    }
    return { damaged: redisKey };
  }

  /** Prepares the write of an entry. One that is too large is not written, and what is at its key is deleted. */
  async put(redisKey: string, entry: Entry): Promise<EntryWrite> {
    // Checked before the value is encoded, which may have many megabytes.
    if (encodedTextLength(entry) > this.#options.maxValueBytes) {
      const gone: Command = { bytes: redisKey.length, addTo: (pipeline) => pipeline.del(redisKey) };
      return { commands: [gone], keys: [], replaced: [] };
    }
    const text = encodeEntryAsText(entry);
    if (text.length <= this.#partLength) {
      return { commands: [this.#set(redisKey, text)], keys: [redisKey], replaced: [] };
    }
    const before = await this.#partsOf(redisKey);
    const parts = { id: randomId(), count: Math.ceil(text.length / this.#partLength), length: text.length };
    const keys = partKeys(parts);
    const commands = [...splitText(text, this.#partLength)].map((part, i) => this.#set(keys[i], part));
    return {
      commands: [...commands, this.#set(redisKey, partsMarker(parts))],
      keys: [redisKey, ...keys],
      replaced: before === undefined ? [] : partKeys(before),
    };
  }

  /** Sends commands in order, in as few requests as their size allows. */
  async send(commands: readonly Command[]): Promise<void> {
    let pipeline = this.#redis.pipeline();
    let bytes = 0;
    for (const command of commands) {
      if (bytes > 0 && bytes + command.bytes > this.#partLength) {
        await withShortError(pipeline.exec());
        pipeline = this.#redis.pipeline();
        bytes = 0;
      }
      command.addTo(pipeline);
      bytes += command.bytes;
    }
    await withShortError(pipeline.exec());
  }

  /** Deletes an entry with its parts. Resolves to whether there was one. */
  async delete(redisKey: string): Promise<boolean> {
    const pipeline = this.#redis.pipeline().getrange(redisKey, 0, MAX_MARKER_LENGTH).del(redisKey);
    // A key of another type has no range, and is deleted all the same.
    const [start, deleted] = await withShortError(pipeline.exec({ keepErrors: true }));
    if (deleted.error !== undefined) throw new Error(deleted.error);
    const parts = typeof start.result === "string" ? parseParts(start.result) : undefined;
    await this.deleteKeys(parts === undefined ? [] : partKeys(parts));
    return Number(deleted.result) > 0;
  }

  async deleteKeys(redisKeys: readonly string[]): Promise<void> {
    if (redisKeys.length > 0) await withShortError(this.#redis.del(...redisKeys));
  }

  /** In characters. */
  get #partLength(): number {
    return this.#options.maxRequestBytes - REQUEST_OVERHEAD_BYTES;
  }

  /** Reads the parts of an entry; undefined if one is missing or damaged. */
  async #readParts(list: PartList, onLength?: (bytes: number) => void): Promise<Entry | undefined> {
    const { slidingTtl, ttlSeconds } = this.#options;
    onLength?.(list.length);
    const text = new Uint8Array(list.length);
    const keys = partKeys(list);
    const perRequest = Math.max(1, Math.floor(READ_LENGTH * list.count / list.length));
    let at = 0;
    for (let from = 0; from < keys.length; from += perRequest) {
      const some = keys.slice(from, from + perRequest);
      const pipeline = this.#redis.pipeline();
      for (const key of some) pipeline.get(key);
      if (slidingTtl && ttlSeconds > 0) { for (const key of some) pipeline.expire(key, ttlSeconds); }
      const results = await pipeline.exec({ keepErrors: true });
      for (const { result: part, error } of results.slice(0, some.length)) {
        if (error !== undefined) throw new Error(error);
        if (typeof part !== "string" || at + part.length > text.length) return undefined;
        at += new TextEncoder().encodeInto(part, text.subarray(at)).written;
      }
    }
    return at === text.length ? decodeEntryFromText(text) : undefined;
  }

  /** The part list that stands at a key, if any. */
  async #partsOf(redisKey: string): Promise<PartList | undefined> {
    const start = await withShortError(this.#redis.getrange(redisKey, 0, MAX_MARKER_LENGTH)).catch(() => "");
    return parseParts(String(start));
  }

  #set(redisKey: string, value: string): Command {
    const { ttlSeconds } = this.#options;
    return {
      bytes: value.length,
      addTo: (pipeline) => pipeline.set(redisKey, value, ...(ttlSeconds > 0 ? [{ ex: ttlSeconds }] : [])),
    };
  }
}

/** The bytes of a value in Redis. A foreign one need not be text. */
export function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(String(value));
}

/** In hexadecimal digits: 64 bits. */
function randomId(): string {
  return crypto.getRandomValues(new Uint8Array(8)).toHex();
}

/** In characters. Some gateways answer with whole pages of HTML. */
const MAX_ERROR_LENGTH = 300;

/**
 * Messages about one key or value: another type than a string, a value or request that the gateway does not take (an empty
 * 413 or, from serverless-redis-http, 500), and a Redis before 7.0, which cannot take leases.
 */
const REFUSAL =
  /WRONGTYPE|max (?:request|record|value)\w* size|too large|syntax error|Unable to parse response body: ?$|answered (?:413|500) with ""/i;

/** Rejects with the SDK's error message without the command that it quotes. */
export async function withShortError<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof ValueRefusedError) throw error;
    const message = withoutCommand(messageOf(error)).slice(0, MAX_ERROR_LENGTH);
    throw REFUSAL.test(message) ? new ValueRefusedError(message) : new Error(message);
  }
}
