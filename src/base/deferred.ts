import type { Logger } from "@logtape/logtape";
import type { ExecutionContext } from "hono";
import { messageOf } from "./errors.ts";

/**
 * Work that nobody waits for, such as cache writes: the execution context behind Hono's `c.executionCtx`. Its promises
 * are tracked, their failures logged and counted, and they are awaited before the process ends.
 */
export class DeferredWork implements ExecutionContext {
  readonly props = {};
  readonly #pending = new Set<Promise<void>>();
  readonly #logger: Logger;
  #failed = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get pending(): number {
    return this.#pending.size;
  }

  get failed(): number {
    return this.#failed;
  }

  waitUntil(work: Promise<unknown>): void {
    const tracked: Promise<void> = work.then(() => {}, (error) => {
      this.#failed++;
      this.#logger.error("deferred work failed: {error}", { error: messageOf(error) });
    }).finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  /** Part of the interface of service workers; there is nothing to pass through to here. */
  passThroughOnException(): void {}

  /** Resolves once nothing is pending, work that arrives meanwhile included. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
