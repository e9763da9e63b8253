import { Redis } from "@upstash/redis";
import { decodeEntry, encodedLength, encodeEntry } from "./entry_codec.ts";
import type { Entry, EntryInfo, Store } from "./store.ts";

/** Every key of ours begins with this, so that a Redis can be shared with others. */
const PREFIX = "cutcache:";
const RECENT_KEY = `${PREFIX}recent`;

export interface UpstashStoreOptions {
  url: string;
  token: string;
  /** How long Redis keeps an entry, in seconds; 0: until it evicts it. */
  ttlSeconds: number;
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
 * serverless-redis-http speak it. The protocol is JSON, so values are stored as base64 text.
 */
export class UpstashStore implements Store {
  readonly name = "redis";
  readonly #reader: Redis;
  readonly #writer: Redis;
  readonly #ttlSeconds: number;
  readonly #maxValueBytes: number;
  readonly #recentLimit: number;

  constructor(options: UpstashStoreOptions) {
    this.#ttlSeconds = options.ttlSeconds;
    this.#maxValueBytes = options.maxValueBytes;
    this.#recentLimit = options.recentLimit ?? 1000;
    const connect = (timeoutMs: number) =>
      new Redis({
        url: options.url,
        token: options.token,
        // `retry: false` would still try twice.
        retry: { retries: 0 },
        // A function: the SDK throws at an abort; with a plain signal it would resolve to the text "Aborted".
        signal: () => AbortSignal.timeout(timeoutMs),
        automaticDeserialization: false,
        // Our values are base64 already; the default would wrap them a second time.
        responseEncoding: false,
        enableTelemetry: false,
        // It would wait for other commands of the same tick and share one deadline and one failure with them.
        enableAutoPipelining: false,
        readYourWrites: false,
      });
    this.#reader = connect(options.readTimeoutMs);
    this.#writer = connect(options.writeTimeoutMs);
  }

  async get(key: string): Promise<Entry | undefined> {
    const text = await request(this.#reader.get<unknown>(PREFIX + key));
    if (text === null) return undefined;
    const entry = typeof text === "string" ? parseEntry(text) : undefined;
    if (entry === undefined) await this.delete(key);
    return entry;
  }

  async set(key: string, entry: Entry): Promise<void> {
    // Before it is encoded: it may be of many megabytes.
    if (base64Length(encodedLength(entry)) > this.#maxValueBytes) return;
    const value = encodeEntry(entry).toBase64();
    const info: EntryInfo = {
      key,
      contentType: entry.contentType,
      created: entry.created,
      bytes: entry.bytes.length,
    };
    const pipeline = this.#writer.pipeline();
    if (this.#ttlSeconds > 0) pipeline.set(PREFIX + key, value, { ex: this.#ttlSeconds });
    else pipeline.set(PREFIX + key, value);
    pipeline.lpush(RECENT_KEY, JSON.stringify(info));
    pipeline.ltrim(RECENT_KEY, 0, this.#recentLimit - 1);
    await request(pipeline.exec());
  }

  async delete(key: string): Promise<boolean> {
    return await request(this.#writer.del(PREFIX + key)) > 0;
  }

  async list(limit: number): Promise<EntryInfo[]> {
    const recent = await request(this.#reader.lrange<string>(RECENT_KEY, 0, limit - 1));
    const infos: EntryInfo[] = [];
    for (const text of recent) {
      try {
        infos.push(JSON.parse(text) as EntryInfo);
      } catch { /* foreign */ }
    }
    return infos;
  }
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

function parseEntry(text: string): Entry | undefined {
  try {
    return decodeEntry(Uint8Array.fromBase64(text));
  } catch {
    return undefined;
  }
}

/** The SDK's errors quote the whole command, image bytes and all: keep what went wrong and drop the quotation. */
async function request<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(message.replace(/,? command was: [^]*$/, "").slice(0, 300));
  }
}
