import type { MemoryStore } from "./memory.ts";
import type { Entry, EntryInfo, Store } from "./store.ts";

/** An entry and the name of the tier that had it. */
export interface Found {
  readonly entry: Entry;
  readonly tier: string;
}

/** The memory tier in front of a durable one; either may be all there is. */
export class TieredStore implements Store {
  readonly name: string;
  /** The first tier, for what only this process needs. */
  readonly memory: MemoryStore;
  readonly #durable: Store | undefined;

  constructor(memory: MemoryStore, durable?: Store) {
    this.name = durable === undefined ? memory.name : `${memory.name}+${durable.name}`;
    this.memory = memory;
    this.#durable = durable;
  }

  /** Asks memory, then the durable tier, whose answer memory keeps. */
  async find(key: string): Promise<Found | undefined> {
    const near = this.memory.read(key);
    if (near !== undefined) return { entry: near, tier: this.memory.name };
    const far = await this.#durable?.get(key);
    if (far === undefined) return undefined;
    this.memory.write(key, far);
    return { entry: far, tier: this.#durable!.name };
  }

  async get(key: string): Promise<Entry | undefined> {
    return (await this.find(key))?.entry;
  }

  /**
   * Memory has the entry when this returns its promise; the durable tier's write begins on a later turn of the event
   * loop, so that encoding and disk do not come before the response that is about to be sent.
   */
  async set(key: string, entry: Entry): Promise<void> {
    this.memory.write(key, entry);
    if (this.#durable === undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    await this.#durable.set(key, entry);
  }

  async delete(key: string): Promise<boolean> {
    const deleted = await Promise.all([this.memory.delete(key), this.#durable?.delete(key)]);
    return deleted.includes(true);
  }

  list(limit: number): Promise<EntryInfo[]> {
    return (this.#durable ?? this.memory).list(limit);
  }

  close(): void {
    this.#durable?.close?.();
  }
}
