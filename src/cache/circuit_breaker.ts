import { messageOf, StoreUnavailableError } from "../base/errors.ts";
import type { Logger } from "@logtape/logtape";
import { circuitBreaker, type CircuitBreakerPolicy, CircuitState, ConsecutiveBreaker, handleAll } from "cockatiel";
import type { ImageId } from "./keys.ts";
import type { Entry, EntryInfo, EntryOrLease, Store, StoreStats } from "./store.ts";

export interface CircuitBreakerOptions {
  /** How long a request may wait for the store, in milliseconds. */
  readTimeoutMs: number;
  /** How long a deferred write may take, in milliseconds. */
  writeTimeoutMs: number;
  /** After a failure the store is left alone this long, in milliseconds, then probed. */
  breakMs: number;
  logger: Logger;
}

/** What `/health` tells of a guarded store. `open`: it failed and is being left alone. */
export interface StoreHealth {
  readonly health: "ok" | "ng";
  readonly breaker: "closed" | "open" | "half-open";
  readonly lastError?: string;
  readonly failedWrites: number;
}

type Access = "reads" | "writes";

/**
 * Puts deadlines and circuit breakers before a store that may hang or be gone. Reads and writes break apart: a full or
 * read-only Redis still answers. While a breaker is open no caller waits for the store: the guard itself probes it, and
 * closes the breaker when that goes well.
 */
export class CircuitBreakerStore implements Store {
  readonly name: string;
  readonly getOrLease?: (key: string, milliseconds: number) => Promise<EntryOrLease>;
  readonly #store: Store;
  readonly #options: CircuitBreakerOptions;
  readonly #breakers: Record<Access, CircuitBreakerPolicy>;
  readonly #probes = new Map<Access, ReturnType<typeof setTimeout>>();
  #lastError?: string;
  #failedWrites = 0;
  #closed = false;

  constructor(store: Store, options: CircuitBreakerOptions) {
    this.name = store.name;
    this.#store = store;
    this.#options = options;
    const breaker = (access: Access) => {
      const policy = circuitBreaker(handleAll, { halfOpenAfter: options.breakMs, breaker: new ConsecutiveBreaker(1) });
      policy.onBreak(() => this.#probeLater(access));
      policy.onReset(() => options.logger.info("{store} {access}: back", { store: this.name, access }));
      return policy;
    };
    this.#breakers = { reads: breaker("reads"), writes: breaker("writes") };
    // A lease is a write that a request waits for. It needs a store that can be read as well.
    if (store.getOrLease) {
      this.getOrLease = async (key, milliseconds) => {
        if (this.#breakers.reads.state !== CircuitState.Closed) throw this.#leftAlone("reads");
        return await this.#run("writes", options.readTimeoutMs, () => store.getOrLease!(key, milliseconds));
      };
    }
  }

  health(): StoreHealth {
    const states = [this.#breakers.reads.state, this.#breakers.writes.state];
    const open = states.includes(CircuitState.Open);
    const breaker = open ? "open" : states.includes(CircuitState.HalfOpen) ? "half-open" : "closed";
    return {
      health: breaker === "closed" ? "ok" : "ng",
      breaker,
      ...(breaker !== "closed" && this.#lastError !== undefined && { lastError: this.#lastError }),
      failedWrites: this.#failedWrites,
    };
  }

  /** @throws {StoreUnavailableError} */
  async get(key: string): Promise<Entry | undefined> {
    return await this.#run("reads", this.#options.readTimeoutMs, () => this.#store.get(key));
  }

  /** @throws {StoreUnavailableError} */
  async set(key: string, entry: Entry): Promise<void> {
    try {
      await this.#run("writes", this.#options.writeTimeoutMs, () => this.#store.set(key, entry));
    } catch (error) {
      this.#failedWrites++;
      throw error;
    }
  }

  delete(key: string): Promise<boolean> {
    return this.#ask(() => this.#store.delete(key));
  }

  deleteImage(image: ImageId): Promise<number> {
    return this.#ask(() => this.#store.deleteImage(image));
  }

  clear(): Promise<number> {
    return this.#ask(() => this.#store.clear());
  }

  list(limit: number): Promise<EntryInfo[]> {
    return this.#ask(() => this.#store.list(limit));
  }

  stats(): Promise<StoreStats> {
    return this.#ask(() => this.#store.stats());
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#probes.values()) clearTimeout(timer);
    this.#store.close?.();
  }

  async #run<T>(access: Access, timeoutMs: number, work: () => Promise<T>): Promise<T> {
    const breaker = this.#breakers[access];
    if (breaker.state !== CircuitState.Closed) throw this.#leftAlone(access);
    try {
      return await breaker.execute(() => deadline(work(), timeoutMs));
    } catch (error) {
      throw this.#note(access, error);
    }
  }

  /** What an operator asks for: tried whatever the breakers say, and failing in so many words. */
  async #ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await deadline(work(), this.#options.writeTimeoutMs);
    } catch (error) {
      throw new StoreUnavailableError(`${this.name} cannot be asked: ${messageOf(error)}`);
    }
  }

  #probeLater(access: Access): void {
    if (this.#closed) return;
    const { breakMs, readTimeoutMs, writeTimeoutMs } = this.#options;
    const timer = setTimeout(async () => {
      const timeoutMs = access === "reads" ? readTimeoutMs : writeTimeoutMs;
      try {
        await this.#breakers[access].execute(() =>
          deadline(this.#store.probe?.(access) ?? Promise.resolve(), timeoutMs)
        );
      } catch (error) {
        // The breaker is open again, and has asked for the next probe.
        this.#lastError = messageOf(error);
      }
    }, breakMs);
    // A store that is gone keeps no process alive.
    Deno.unrefTimer(Number(timer));
    this.#probes.set(access, timer);
  }

  #leftAlone(access: Access): StoreUnavailableError {
    return new StoreUnavailableError(`${this.name} is being left alone: ${access} failed with ${this.#lastError}`);
  }

  #note(access: Access, error: unknown): StoreUnavailableError {
    this.#lastError = messageOf(error);
    this.#options.logger.warn("{store} {access} failed: {error}", { store: this.name, access, error: this.#lastError });
    return new StoreUnavailableError(`${this.name} ${access} failed: ${this.#lastError}`);
  }
}

/** Settles as `work` does, or rejects once `milliseconds` have passed; `work` itself is not stopped. */
async function deadline<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
