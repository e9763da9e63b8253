import type { Logger } from "@logtape/logtape";
import type { ExecutionContext } from "hono";
import { messageOf, StoreUnavailableError } from "./errors.ts";

/**
 * Runs work that no request waits for, such as cache writes. It is the execution context behind Hono's `c.executionCtx`.
 * Failures are logged and counted, and the process awaits pending work before it ends.
 */
export class DeferredWork implements ExecutionContext {
  readonly props = {};
  readonly #pending = new Set<Promise<void>>();
  readonly #logger: Logger;
  #failed = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** The number of promises that have not settled. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The number of promises that were rejected. */
  get failed(): number {
    return this.#failed;
  }

  /** Tracks `work` without waiting for it. Never throws. */
  waitUntil(work: Promise<unknown>): void {
    const tracked: Promise<void> = work.then(() => {}, (error) => {
      this.#failed++;
      // The circuit breaker has logged the outage; each write that it refuses needs no line of its own.
      const level = error instanceof StoreUnavailableError ? "debug" : "error";
      this.#logger[level]("deferred work failed: {error}", { error: messageOf(error) });
    }).finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  /** Required by the interface of service workers; here it has nothing to do. */
  passThroughOnException(): void {}

  /** Resolves when nothing is pending, including work that is added in the meantime. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
