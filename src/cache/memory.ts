import { LRUCache } from "lru-cache";
import { type ImageId, parseKey } from "./keys.ts";
import type { BoundedStoreOptions, Entry, EntryInfo, Store, StoreStats } from "./store.ts";

/** The estimated cost of an entry in addition to its bytes: its key, the objects around it, its slot in the map. */
const OVERHEAD_BYTES = 512;

/** The in-process tier: an LRU cache bounded by bytes. */
export class MemoryStore implements Store {
  readonly name = "memory";
  readonly #entries: LRUCache<string, Entry>;

  constructor(options: BoundedStoreOptions) {
    const { now } = options;
    this.#entries = new LRUCache({
      maxSize: Math.max(1, options.maxBytes),
      sizeCalculation: (entry) => lengthOf(entry) + OVERHEAD_BYTES,
      ttl: (options.ttlSeconds ?? 0) * 1000,
      updateAgeOnGet: options.slidingTtl ?? false,
      // Stale entries stay: they are better than nothing while the durable store is unavailable.
      noDeleteOnStaleGet: true,
      ...(now && { perf: { now }, ttlResolution: 0 }),
    });
  }

  /** Like `get`, synchronously. */
  read(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Like `read`, but returns stale entries too. */
  readStale(key: string): Entry | undefined {
    return this.#entries.get(key, { allowStale: true });
  }

  /**
   * Like `set`, synchronously.
   * @param expiresWith the key of the entry that this one was made from. They expire together.
   */
  write(key: string, entry: Entry, expiresWith?: string): void {
    const remaining = expiresWith === undefined ? Infinity : this.#entries.getRemainingTTL(expiresWith);
    // At least 1 ms, if the other entry is stale or missing: 0 would mean no expiry.
    this.#entries.set(key, entry, Number.isFinite(remaining) ? { ttl: Math.max(1, Math.ceil(remaining)) } : {});
  }

  get(key: string): Promise<Entry | undefined> {
    return Promise.resolve(this.read(key));
  }

  set(key: string, entry: Entry): Promise<void> {
    this.write(key, entry);
    return Promise.resolve();
  }

  delete(key: string): Promise<boolean> {
    return Promise.resolve(this.#entries.delete(key));
  }

  deleteImage(image: ImageId): Promise<number> {
    const keys = [...this.#entries.keys()].filter((key) => parseKey(key)?.image === image);
    for (const key of keys) this.#entries.delete(key);
    return Promise.resolve(keys.length);
  }

  clear(): Promise<number> {
    const { size } = this.#entries;
    this.#entries.clear();
    return Promise.resolve(size);
  }

  list(limit: number): Promise<EntryInfo[]> {
    const infos = [...this.#entries.entries()].map(([key, entry]) => ({
      key,
      contentType: entry.contentType,
      created: entry.created,
      bytes: lengthOf(entry),
    }));
    return Promise.resolve(infos.sort((a, b) => b.created - a.created).slice(0, limit));
  }

  stats(): Promise<StoreStats> {
    const { size, calculatedSize } = this.#entries;
    return Promise.resolve({ entries: size, bytes: calculatedSize });
  }
}

/** Does not decode base64 that has not been decoded yet. */
function lengthOf(entry: Entry): number {
  return entry.ready?.length ?? entry.base64?.length ?? entry.bytes.length;
}
