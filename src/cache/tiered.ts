import { setTimeout as delay } from "node:timers/promises";
import { LateAnswerError, StoreSkippedError, StoreUnavailableError } from "../base/errors.ts";
import type { ImageId } from "./keys.ts";
import type { MemoryStore } from "./memory.ts";
import { type Entry, type EntryInfo, type EntryOrLease, NO_LEASE, type Store, type StoreStats } from "./store.ts";

/** An entry and the name of the tier that had it. */
export interface CacheHit {
  readonly entry: Entry;
  readonly tier: string;
}

/** How often a lease is asked for, and how long after a failure, in milliseconds: a store that restarts is back soon. */
const LEASE_ATTEMPTS = 3;
const LEASE_RETRY_MS = 100;

/** Which tiers a read may use. `durable` skips memory, which may still hold what another process has just deleted. */
export type ReadScope = "all" | "durable";

/**
 * The memory tier in front of an optional durable one. When an entry in memory has reached its time to live, the durable
 * tier is asked again. If that is unavailable, memory serves the stale entry.
 */
export class TieredStore implements Store {
  readonly name: string;
  /** The names of the tiers, in the order in which they are asked. */
  readonly tiers: readonly string[];
  /** The first tier, for entries that only this process needs. */
  readonly memory: MemoryStore;
  readonly #durable: Store | undefined;
  /** Counts deletions: what was read before one must not get into memory after it. */
  #deletions = 0;

  constructor(memory: MemoryStore, durable?: Store) {
    this.tiers = durable === undefined ? [memory.name] : [memory.name, durable.name];
    this.name = this.tiers.join("+");
    this.memory = memory;
    this.#durable = durable;
  }

  /**
   * Asks memory, then the durable tier. Memory keeps what that returns, also if it returns it too late.
   * @throws {StoreUnavailableError} if memory does not have the entry and the durable tier cannot tell.
   */
  async find(key: string, scope: ReadScope = "all"): Promise<CacheHit | undefined> {
    if (this.#durable === undefined) return this.#memoryHit(this.memory.read(key));
    const fresh = scope === "all" ? this.memory.read(key) : undefined;
    if (fresh !== undefined) return this.#memoryHit(fresh);
    const deletions = this.#deletions;
    let entry: Entry | undefined;
    try {
      entry = await this.#durable.get(key);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      if (error instanceof LateAnswerError) error.answer.then((late) => this.#keep(key, late, deletions), () => {});
      const stale = this.#memoryHit(this.memory.readStale(key));
      if (stale !== undefined) return stale;
      throw error;
    }
    if (entry === undefined) {
      // Another process has deleted it. A fresh entry stays: its durable write may still be under way.
      if (this.memory.read(key) === undefined) await this.memory.delete(key);
      return undefined;
    }
    this.#keep(key, entry, deletions);
    return { entry, tier: this.#durable.name };
  }

  /** Like `find`, but an entry is also undefined if the durable tier is unavailable. */
  async get(key: string): Promise<Entry | undefined> {
    try {
      return (await this.find(key))?.entry;
    } catch (error) {
      if (error instanceof StoreUnavailableError) return undefined;
      throw error;
    }
  }

  /**
   * The entry, or the lease to make it, or neither while another process makes it. If the durable tier has no leases or
   * stays unavailable, everyone may make the entry.
   */
  async getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> {
    const fresh = this.memory.read(key);
    if (fresh !== undefined) return { entry: fresh };
    const durable = this.#durable;
    for (let attempt = 1; durable?.getOrLease && attempt <= LEASE_ATTEMPTS; attempt++) {
      if (attempt > 1) await delay(LEASE_RETRY_MS);
      const deletions = this.#deletions;
      try {
        const answer = await durable.getOrLease(key, milliseconds);
        if (answer && "entry" in answer) this.#keep(key, answer.entry, deletions);
        return answer;
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        if (error instanceof StoreSkippedError) break;
      }
    }
    const entry = await this.get(key);
    return entry ? { entry } : { lease: NO_LEASE };
  }

  /**
   * Memory has the entry as soon as this returns its promise. The durable write begins on a later turn of the event loop,
   * so that encoding and disk do not delay the response that is about to be sent.
   */
  async setAll(entries: ReadonlyMap<string, Entry>): Promise<void> {
    for (const [key, entry] of entries) this.memory.write(key, entry);
    if (this.#durable === undefined) return;
    await delay(0);
    if (this.#durable.setAll) await this.#durable.setAll(entries);
    else for (const [key, entry] of entries) await this.#durable.set(key, entry);
  }

  async set(key: string, entry: Entry): Promise<void> {
    await this.setAll(new Map([[key, entry]]));
  }

  async delete(key: string): Promise<boolean> {
    const inDurable = await this.#durable?.delete(key);
    this.#deletions++;
    const inMemory = await this.memory.delete(key);
    return inDurable || inMemory;
  }

  /** Counts the durable tier's entries: memory lacks some of them and has others in several representations. */
  async deleteImage(image: ImageId): Promise<number> {
    const inDurable = await this.#durable?.deleteImage(image);
    this.#deletions++;
    const inMemory = await this.memory.deleteImage(image);
    return inDurable ?? inMemory;
  }

  async clear(): Promise<number> {
    const inDurable = await this.#durable?.clear();
    this.#deletions++;
    const inMemory = await this.memory.clear();
    return inDurable ?? inMemory;
  }

  list(limit: number): Promise<EntryInfo[]> {
    return (this.#durable ?? this.memory).list(limit);
  }

  stats(): Promise<StoreStats> {
    return (this.#durable ?? this.memory).stats();
  }

  /** The stats of each tier by its name, or the error if a tier is unavailable. */
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

  /** Keeps an entry of the durable tier in memory. */
  #keep(key: string, entry: unknown, deletions: number): void {
    if (entry !== undefined && deletions === this.#deletions) this.memory.write(key, entry as Entry);
  }

  #memoryHit(entry: Entry | undefined): CacheHit | undefined {
    return entry && { entry, tier: this.memory.name };
  }
}
