import type { Logger } from "@logtape/logtape";
import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleAll } from "cockatiel";
import type { Entry, EntryInfo, Store } from "./store.ts";

export interface GuardOptions {
  /** How long a request may wait for the store, in milliseconds. */
  readTimeoutMs: number;
  /** How long a deferred write may take, in milliseconds. */
  writeTimeoutMs: number;
  /** After a failure the store is left alone this long, in milliseconds, then tried with one call. */
  breakMs: number;
  logger: Logger;
}

/** What `/health` tells of a guarded store. `open`: it failed and is being left alone. */
export interface GuardHealth {
  readonly health: "ok" | "ng";
  readonly breaker: "closed" | "open" | "half-open";
  readonly lastError?: string;
  readonly failedWrites: number;
}

/**
 * Puts a deadline and a circuit breaker before a store that may hang or be gone. A read that fails is a miss; a write
 * that fails rejects, is logged and counted. Reads and writes break apart: a full or read-only Redis still answers.
 */
export class GuardedStore implements Store {
  readonly name: string;
  readonly #store: Store;
  readonly #options: GuardOptions;
  readonly #reads;
  readonly #writes;
  #lastError?: string;
  #failedWrites = 0;

  constructor(store: Store, options: GuardOptions) {
    this.name = store.name;
    this.#store = store;
    this.#options = options;
    const breaker = (what: string) => {
      const policy = circuitBreaker(handleAll, { halfOpenAfter: options.breakMs, breaker: new ConsecutiveBreaker(1) });
      policy.onReset(() => options.logger.info("{store} {what}: back", { store: this.name, what }));
      return policy;
    };
    this.#reads = breaker("reads");
    this.#writes = breaker("writes");
  }

  health(): GuardHealth {
    const states = [this.#reads.state, this.#writes.state];
    const open = states.includes(CircuitState.Open);
    const breaker = open ? "open" : states.includes(CircuitState.HalfOpen) ? "half-open" : "closed";
    return {
      health: breaker === "closed" ? "ok" : "ng",
      breaker,
      ...(breaker !== "closed" && this.#lastError !== undefined && { lastError: this.#lastError }),
      failedWrites: this.#failedWrites,
    };
  }

  async get(key: string): Promise<Entry | undefined> {
    try {
      return await this.#reads.execute(() => deadline(this.#store.get(key), this.#options.readTimeoutMs));
    } catch (error) {
      this.#note("read", error);
      return undefined;
    }
  }

  async set(key: string, entry: Entry): Promise<void> {
    try {
      await this.#writes.execute(() => deadline(this.#store.set(key, entry), this.#options.writeTimeoutMs));
    } catch (error) {
      this.#failedWrites++;
      this.#note("write", error);
      throw error;
    }
  }

  delete(key: string): Promise<boolean> {
    return deadline(this.#store.delete(key), this.#options.writeTimeoutMs);
  }

  list(limit: number): Promise<EntryInfo[]> {
    return deadline(this.#store.list(limit), this.#options.writeTimeoutMs);
  }

  close(): void {
    this.#store.close?.();
  }

  #note(operation: "read" | "write", error: unknown): void {
    // The failure that opened the breaker was logged; the calls it then turns away would only repeat it.
    if (error instanceof BrokenCircuitError) return;
    this.#lastError = error instanceof Error ? error.message : String(error);
    this.#options.logger.warn("{store} {operation} failed: {error}", {
      store: this.name,
      operation,
      error: this.#lastError,
    });
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
