import { StoreUnavailableError } from "../base/errors.ts";
import type { ImageId } from "./keys.ts";
import type { MemoryStore } from "./memory.ts";
import { type Entry, type EntryInfo, type EntryOrLease, NO_LEASE, type Store, type StoreStats } from "./store.ts";

/** An entry and the name of the tier that had it. */
export interface CacheHit {
  readonly entry: Entry;
  readonly tier: string;
}

/** Which tiers a read asks. `durable`: not memory, which may hold what was deleted elsewhere a moment ago. */
export type ReadScope = "all" | "durable";

/**
 * The memory tier in front of a durable one; either may be all there is. What memory has held for its time to live is
 * asked for again, and served as it is where the durable tier cannot be asked.
 */
export class TieredStore implements Store {
  readonly name: string;
  /** The names of the tiers, in the order in which they are asked. */
  readonly tiers: readonly string[];
  /** The first tier, for what only this process needs. */
  readonly memory: MemoryStore;
  readonly #durable: Store | undefined;

  constructor(memory: MemoryStore, durable?: Store) {
    this.tiers = durable === undefined ? [memory.name] : [memory.name, durable.name];
    this.name = this.tiers.join("+");
    this.memory = memory;
    this.#durable = durable;
  }

  /** Asks memory, then the durable tier, whose answer memory keeps. */
  async find(key: string, reach: ReadScope = "all"): Promise<CacheHit | undefined> {
    if (this.#durable === undefined) return this.#near(this.memory.read(key));
    const near = reach === "all" ? this.memory.read(key) : undefined;
    if (near !== undefined) return this.#near(near);
    let far: Entry | undefined;
    try {
      far = await this.#durable.get(key);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      return this.#near(this.memory.readStale(key));
    }
    if (far === undefined) {
      // Deleted by another process. What is fresh may be on its way there.
      if (this.memory.read(key) === undefined) await this.memory.delete(key);
      return undefined;
    }
    this.memory.write(key, far);
    return { entry: far, tier: this.#durable.name };
  }

  async get(key: string): Promise<Entry | undefined> {
    return (await this.find(key))?.entry;
  }

  /**
   * The entry, or the lease to make it, or neither while another process makes it. A tier without leases, or one that
   * cannot be asked, lets everybody make it.
   */
  async getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> {
    const near = this.memory.read(key);
    if (near !== undefined) return { entry: near };
    try {
      const answer = await this.#durable?.getOrLease?.(key, milliseconds);
      if (this.#durable?.getOrLease) return answer;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
    }
    const entry = await this.get(key);
    return entry ? { entry } : { lease: NO_LEASE };
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
    const deleted = [await this.#durable?.delete(key), await this.memory.delete(key)];
    return deleted.includes(true);
  }

  /** Counts what the durable tier had, since memory has not everything, and some of it in other forms too. */
  async deleteImage(image: ImageId): Promise<number> {
    const far = await this.#durable?.deleteImage(image);
    const near = await this.memory.deleteImage(image);
    return far ?? near;
  }

  async clear(): Promise<number> {
    const far = await this.#durable?.clear();
    const near = await this.memory.clear();
    return far ?? near;
  }

  list(limit: number): Promise<EntryInfo[]> {
    return (this.#durable ?? this.memory).list(limit);
  }

  stats(): Promise<StoreStats> {
    return (this.#durable ?? this.memory).stats();
  }

  /** What each tier holds, by its name; a message where it cannot be asked. */
  async statsByTier(): Promise<Record<string, StoreStats | { error: string }>> {
    const tiers = [this.memory, this.#durable].filter((tier) => tier !== undefined);
    const stats = await Promise.all(tiers.map(async (tier) => {
      try {
        return [tier.name, await tier.stats()] as const;
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        return [tier.name, { error: error.message }] as const;
      }
    }));
    return Object.fromEntries(stats);
  }

  close(): void {
    this.#durable?.close?.();
  }

  #near(entry: Entry | undefined): CacheHit | undefined {
    return entry && { entry, tier: this.memory.name };
  }
}
