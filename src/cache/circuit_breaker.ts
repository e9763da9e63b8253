import type { Logger } from "@logtape/logtape";
import { circuitBreaker, type CircuitBreakerPolicy, CircuitState, ConsecutiveBreaker, handleAll } from "cockatiel";
import { messageOf, StoreUnavailableError } from "../base/errors.ts";
import type { ImageId } from "./keys.ts";
import type { Entry, EntryInfo, EntryOrLease, Store, StoreStats } from "./store.ts";

export interface CircuitBreakerOptions {
  /** How long a request may wait for the store, in milliseconds. */
  readTimeoutMs: number;
  /** How long a deferred write may take, in milliseconds. */
  writeTimeoutMs: number;
  /** How long the store is skipped after a failure before it is probed, in milliseconds. */
  breakMs: number;
  logger: Logger;
}

/** The state of a store behind a circuit breaker, as `/health` reports it. `open`: the store failed and is skipped. */
export interface StoreHealth {
  readonly health: "ok" | "ng";
  readonly breaker: "closed" | "open" | "half-open";
  readonly lastError?: string;
  readonly failedWrites: number;
}

type Access = "reads" | "writes";

/**
 * Adds deadlines and circuit breakers to a store that may hang or be down. Reads and writes have a breaker each, because
 * a full or read-only Redis can still be read. While a breaker is open no caller waits for the store. A timer probes it,
 * and closes the breaker when a probe succeeds.
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
      policy.onReset(() => options.logger.info("{store} {access} work again", { store: this.name, access }));
      return policy;
    };
    this.#breakers = { reads: breaker("reads"), writes: breaker("writes") };
    // A request waits for its lease, which is a write. It also needs a store that can be read.
    if (store.getOrLease) {
      this.getOrLease = async (key, milliseconds) => {
        if (this.#breakers.reads.state !== CircuitState.Closed) throw this.#skipped("reads");
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
    return this.#runAlways(() => this.#store.delete(key));
  }

  deleteImage(image: ImageId): Promise<number> {
    return this.#runAlways(() => this.#store.deleteImage(image));
  }

  clear(): Promise<number> {
    return this.#runAlways(() => this.#store.clear());
  }

  list(limit: number): Promise<EntryInfo[]> {
    return this.#runAlways(() => this.#store.list(limit));
  }

  stats(): Promise<StoreStats> {
    return this.#runAlways(() => this.#store.stats());
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#probes.values()) clearTimeout(timer);
    this.#store.close?.();
  }

  async #run<T>(access: Access, timeoutMs: number, work: () => Promise<T>): Promise<T> {
    const breaker = this.#breakers[access];
    if (breaker.state !== CircuitState.Closed) throw this.#skipped(access);
    try {
      return await breaker.execute(() => deadline(work(), timeoutMs));
    } catch (error) {
      throw this.#failed(access, error);
    }
  }

  /** Operators' requests ignore the breakers: they get an answer or the reason why there is none. */
  async #runAlways<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await deadline(work(), this.#options.writeTimeoutMs);
    } catch (error) {
      throw new StoreUnavailableError(`${this.name} is unavailable: ${messageOf(error)}`);
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
        // The breaker is open again, and `onBreak` has scheduled the next probe.
        this.#lastError = messageOf(error);
      }
    }, breakMs);
    // A store that is down must not keep the process alive.
    Deno.unrefTimer(Number(timer));
    this.#probes.set(access, timer);
  }

  #skipped(access: Access): StoreUnavailableError {
    return new StoreUnavailableError(`${this.name} is skipped until it recovers: ${access} failed: ${this.#lastError}`);
  }

  #failed(access: Access, error: unknown): StoreUnavailableError {
    this.#lastError = messageOf(error);
    this.#options.logger.warn("{store} {access} failed: {error}", { store: this.name, access, error: this.#lastError });
    return new StoreUnavailableError(`${this.name} ${access} failed: ${this.#lastError}`);
  }
}

/**
 * Settles as `work` does, or rejects after `milliseconds`; `work` is not cancelled. cockatiel's `timeout` policy would
 * not do: its duration is fixed, it makes an `AbortController` per call although a store cannot be aborted, and it fails
 * with "Operation timed out after 200ms", which does not say that the store gave no answer.
 */
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
