import { LRUCache } from "lru-cache";
import type { Entry, EntryInfo, Store } from "./store.ts";

/** What an entry costs beside its bytes: its key, the objects around it, the map's slot. An estimate. */
const OVERHEAD_BYTES = 512;

export interface MemoryStoreOptions {
  /** The bound on all entries together, in bytes. */
  maxBytes: number;
  /** How long an entry is served, in seconds; 0: as long as there is room. */
  ttlSeconds?: number;
}

/** The in-process tier: a least-recently-used cache bounded by bytes. */
export class MemoryStore implements Store {
  readonly name = "memory";
  readonly #entries: LRUCache<string, Entry>;

  constructor(options: MemoryStoreOptions) {
    this.#entries = new LRUCache({
      maxSize: Math.max(1, options.maxBytes),
      sizeCalculation: (entry) => entry.bytes.length + OVERHEAD_BYTES,
      ttl: (options.ttlSeconds ?? 0) * 1000,
    });
  }

  /** As `get`, at once. */
  read(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** As `set`, at once. */
  write(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
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

  list(limit: number): Promise<EntryInfo[]> {
    const infos = [...this.#entries.entries()].map(([key, entry]) => ({
      key,
      contentType: entry.contentType,
      created: entry.created,
      bytes: entry.bytes.length,
    }));
    return Promise.resolve(infos.sort((a, b) => b.created - a.created).slice(0, limit));
  }
}
