import type { Logger } from "@logtape/logtape";
import { LateAnswerError, messageOf, StoreSkippedError, StoreUnavailableError } from "../base/errors.ts";
import { inTime, TimeoutError } from "./deadline.ts";
import type { ImageId } from "./keys.ts";
import {
  type Entry,
  type EntryInfo,
  type EntryOrLease,
  NO_LEASE,
  type Store,
  type StoreStats,
  ValueRefusedError,
} from "./store.ts";
import { StoreBreaker } from "./store_breaker.ts";

export interface CircuitBreakerOptions {
  /** How long a request may wait for the store, in milliseconds. */
  readTimeoutMs: number;
  /** How long a deferred write may take, in milliseconds. */
  writeTimeoutMs: number;
  /** The longest time between two probes of a store that failed, in milliseconds. */
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

/** A read that all callers who ask for its key meanwhile share. */
interface Read {
  readonly answer: Promise<Entry | undefined>;
  readonly began: number;
  /** How long it may take, in milliseconds. Grows with the size of the value. */
  readonly limitMs: () => number;
}

/** A store that delivers a large value at less than this is too slow: 5 MB/s. */
const MIN_BYTES_PER_MS = 5000;

/** Second attempts under way at a time: a store that is slow for everybody must not get twice the load. */
const MAX_SECOND_READS = 4;

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
  readonly #breakers: Record<Access, StoreBreaker>;
  readonly #reads = new Map<string, Read>();
  #secondReads = 0;
  #lastError?: string;
  #failedWrites = 0;

  constructor(store: Store, options: CircuitBreakerOptions) {
    this.name = store.name;
    this.#store = store;
    this.#options = options;
    const breaker = (access: Access, timeoutMs: number) =>
      new StoreBreaker({
        breakMs: options.breakMs,
        probe: () => this.#probe(access, timeoutMs),
        onReset: () => options.logger.info("{store} {access} work again", { store: this.name, access }),
      });
    this.#breakers = {
      reads: breaker("reads", options.readTimeoutMs),
      writes: breaker("writes", options.writeTimeoutMs),
    };
    if (store.getOrLease) this.getOrLease = (key, milliseconds) => this.#getOrLease(key, milliseconds);
  }

  health(): StoreHealth {
    const states = [this.#breakers.reads.state, this.#breakers.writes.state];
    const breaker = states.find((state) => state === "open") ?? states.find((state) => state !== "closed") ?? "closed";
    return {
      health: breaker === "closed" ? "ok" : "ng",
      breaker,
      ...(breaker !== "closed" && this.#lastError !== undefined && { lastError: this.#lastError }),
      failedWrites: this.#failedWrites,
    };
  }

  /**
   * All callers that ask for a key at the same time share one read.
   * @throws {LateAnswerError} if the answer takes too long; it may still come.
   * @throws {StoreUnavailableError}
   */
  async get(key: string): Promise<Entry | undefined> {
    this.#requireClosed("reads");
    const read = this.#reads.get(key) ?? this.#startRead(key);
    try {
      return await inTime(read.answer, read.limitMs);
    } catch (error) {
      if (error instanceof ValueRefusedError) return this.#refused(error, undefined);
      if (!(error instanceof TimeoutError)) throw this.#failed("reads", error);
      this.#breakers.reads.late(read.began, error);
      throw this.#failed("reads", error, read.answer);
    }
  }

  async set(key: string, entry: Entry): Promise<void> {
    await this.#write(() => this.#store.set(key, entry));
  }

  /** @throws {StoreUnavailableError} */
  async setAll(entries: ReadonlyMap<string, Entry>): Promise<void> {
    await this.#write(async () => {
      if (this.#store.setAll) return await this.#store.setAll(entries);
      for (const [key, entry] of entries) await this.#store.set(key, entry);
    });
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
    this.#breakers.reads.close();
    this.#breakers.writes.close();
    this.#store.close?.();
  }

  #startRead(key: string): Read {
    const breaker = this.#breakers.reads;
    const began = performance.now();
    let extraMs = 0;
    const onLength = (bytes: number) => {
      breaker.answered();
      extraMs = Math.max(extraMs, bytes / MIN_BYTES_PER_MS);
    };
    const answer = this.#readTwice(async () => await this.#store.get(key, onLength), () => extraMs === 0);
    const read: Read = { answer, began, limitMs: () => this.#options.readTimeoutMs + extraMs };
    this.#reads.set(key, read);
    answer.finally(() => this.#reads.delete(key)).then(() => breaker.answered(), (error) => {
      if (error instanceof ValueRefusedError) breaker.answered();
      else breaker.failed(began, error);
    });
    return read;
  }

  /**
   * Reads a second time if no answer has begun after half of the deadline: one slow answer in a hundred costs a hit only if
   * two in a row are slow (J. Dean, L. A. Barroso: The Tail at Scale, 2013).
   */
  async #readTwice<T>(read: () => Promise<T>, hasNotBegun: () => boolean): Promise<T> {
    const winner = Promise.withResolvers<T>();
    let running = 0;
    const start = () => {
      running++;
      return read().then(winner.resolve, (error) => {
        if (--running === 0) winner.reject(error);
      });
    };
    start();
    const timer = setTimeout(() => {
      if (!hasNotBegun() || this.#secondReads >= MAX_SECOND_READS) return;
      this.#secondReads++;
      start().finally(() => this.#secondReads--);
    }, this.#options.readTimeoutMs / 2);
    try {
      return await winner.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A lease is a write that a request waits for. It also needs a store that can be read. */
  async #getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> {
    this.#requireClosed("reads");
    const answer = Promise.withResolvers<EntryOrLease>();
    try {
      return await this.#run("writes", this.#leaseLimitMs, () => {
        this.#store.getOrLease!(key, milliseconds).then(answer.resolve, answer.reject);
        return answer.promise;
      });
    } catch (error) {
      if (error instanceof ValueRefusedError) return this.#refused(error, { lease: NO_LEASE });
      // A lease that comes too late stays this process's until it expires: asking again gets it.
      answer.promise.then(async (late) => {
        if (late && "lease" in late) await late.lease.end({ written: true });
      }, () => {});
      throw error;
    }
  }

  /**
   * How long a lease may take, in milliseconds. A store that answers others is only slow, and waiting for it costs less
   * than an inference that another process makes as well.
   */
  readonly #leaseLimitMs = (): number => {
    const { readTimeoutMs, writeTimeoutMs } = this.#options;
    const isAlive = Object.values(this.#breakers).some((breaker) => breaker.answeredWithin(2 * readTimeoutMs));
    return isAlive ? Math.max(readTimeoutMs, writeTimeoutMs) : readTimeoutMs;
  };

  async #write(work: () => Promise<void>): Promise<void> {
    try {
      await this.#run("writes", () => this.#options.writeTimeoutMs, work);
    } catch (error) {
      this.#failedWrites++;
      if (!(error instanceof ValueRefusedError)) throw error;
      this.#refused(error, undefined);
    }
  }

  /** @throws {StoreUnavailableError} */
  async #run<T>(access: Access, limitMs: () => number, work: () => Promise<T>): Promise<T> {
    this.#requireClosed(access);
    const breaker = this.#breakers[access];
    const began = performance.now();
    const answer = (async () => await work())();
    // An answer that comes after the deadline shows that the store is alive.
    answer.then(() => breaker.answered(), () => {});
    try {
      return await inTime(answer, limitMs, this.#options.readTimeoutMs);
    } catch (error) {
      if (error instanceof ValueRefusedError) {
        breaker.answered();
        throw error;
      }
      if (error instanceof TimeoutError) breaker.late(began, error);
      else breaker.failed(began, error);
      throw this.#failed(access, error);
    }
  }

  /** Operators' requests ignore the breakers: they get an answer or the reason why there is none. */
  async #runAlways<T>(work: () => Promise<T>): Promise<T> {
    const { writeTimeoutMs } = this.#options;
    try {
      return await inTime((async () => await work())(), () => writeTimeoutMs);
    } catch (error) {
      throw new StoreUnavailableError(`${this.name} is unavailable: ${messageOf(error)}`, this.#retryAfterSeconds);
    }
  }

  async #probe(access: Access, timeoutMs: number): Promise<void> {
    try {
      await inTime((async () => await this.#store.probe?.(access))(), () => timeoutMs);
    } catch (error) {
      this.#lastError = messageOf(error);
      throw error;
    }
  }

  /** @throws {StoreSkippedError} */
  #requireClosed(access: Access): void {
    if (this.#breakers[access].isClosed) return;
    throw new StoreSkippedError(
      `${this.name} is skipped until it recovers: ${access} failed: ${this.#lastError}`,
      this.#retryAfterSeconds,
    );
  }

  get #retryAfterSeconds(): number {
    return Math.max(1, Math.ceil(this.#options.breakMs / 1000));
  }

  #failed(access: Access, error: unknown, late?: Promise<Entry | undefined>): StoreUnavailableError {
    this.#lastError = messageOf(error);
    this.#options.logger.warn("{store} {access} failed: {error}", { store: this.name, access, error: this.#lastError });
    const message = `${this.name} ${access} failed: ${this.#lastError}`;
    return late === undefined
      ? new StoreUnavailableError(message, this.#retryAfterSeconds)
      : new LateAnswerError(message, late);
  }

  /** A value that the store refuses is missing there; the store itself works. */
  #refused<T>(error: ValueRefusedError, instead: T): T {
    this.#options.logger.warn("{store} refused a value: {error}", { store: this.name, error: error.message });
    return instead;
  }
}
