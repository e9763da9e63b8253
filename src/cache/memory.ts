import { LRUCache } from "lru-cache";
import { type ImageId, partsOf } from "./keys.ts";
import type { Entry, EntryInfo, Store, StoreStats } from "./store.ts";

/** What an entry costs beside its bytes: its key, the objects around it, the map's slot. An estimate. */
const OVERHEAD_BYTES = 512;

export interface MemoryStoreOptions {
  /** The bound on all entries together, in bytes. */
  maxBytes: number;
  /** How long an entry is fresh, in seconds; 0: as long as there is room. */
  ttlSeconds?: number;
  /** Whether that time begins anew with each read. */
  slidingTtl?: boolean;
  now?: () => number;
}

/** The in-process tier: a least-recently-used cache bounded by bytes. */
export class MemoryStore implements Store {
  readonly name = "memory";
  readonly #entries: LRUCache<string, Entry>;

  constructor(options: MemoryStoreOptions) {
    const { now } = options;
    this.#entries = new LRUCache({
      maxSize: Math.max(1, options.maxBytes),
      sizeCalculation: (entry) => lengthOf(entry) + OVERHEAD_BYTES,
      ttl: (options.ttlSeconds ?? 0) * 1000,
      updateAgeOnGet: options.slidingTtl ?? false,
      // What is stale is kept, since it is better than nothing while no other store can be asked.
      noDeleteOnStaleGet: true,
      ...(now && { perf: { now }, ttlResolution: 0 }),
    });
  }

  /** As `get`, at once. */
  read(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** As `read`, however old the entry is. */
  readStale(key: string): Entry | undefined {
    return this.#entries.get(key, { allowStale: true });
  }

  /**
   * As `set`, at once.
   * @param as the key of an entry whose freshness this one is to share, since it was made of it.
   */
  write(key: string, entry: Entry, as?: string): void {
    const remaining = as === undefined ? Infinity : this.#entries.getRemainingTTL(as);
    // Stale, or with no time at all to it: 0 would mean for ever.
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
    const keys = [...this.#entries.keys()].filter((key) => partsOf(key)?.image === image);
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

/** Without decoding what has not been. */
function lengthOf(entry: Entry): number {
  return entry.ready?.length ?? entry.base64?.length ?? entry.bytes.length;
}
