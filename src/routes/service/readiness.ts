import { messageOf } from "../../base/errors.ts";
import type { Logger } from "@logtape/logtape";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../../inference/engine/engine.ts";

export interface WarmUpOptions {
  logger: Logger;
  /** The number of attempts. Each attempt that misses its deadline may leave a thread behind. */
  attempts?: number;
  /** The pause between two attempts, in milliseconds. */
  pauseMs?: number;
}

/** Whether this process is ready for requests. Load balancers check before they send any. */
export class Readiness {
  readonly #engine: Pick<Engine, "warm" | "warmUp">;
  #failure?: string;
  #stopping = false;

  constructor(engine: Pick<Engine, "warm" | "warmUp">) {
    this.#engine = engine;
  }

  /** Why the process is not ready; undefined if it is. */
  get reason(): string | undefined {
    if (this.#stopping) return "the server is stopping";
    if (this.#engine.warm) return undefined;
    return this.#failure ?? "the model has not run yet";
  }

  /** Marks the process as not ready from now on. */
  stop(): void {
    this.#stopping = true;
  }

  /** Runs the models for the first time. If that fails, `reason` says so until a request runs them. */
  async warmUp({ logger, attempts = 3, pauseMs = 5000 }: WarmUpOptions): Promise<void> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#engine.warmUp();
      } catch (error) {
        // The engine's workers have been terminated.
        if (this.#stopping) return;
        const message = messageOf(error);
        this.#failure = `the model's first run failed: ${message}`;
        const next = attempt === attempts ? "not ready until a request runs it" : "retrying";
        logger.error("the model's first run failed, {next}: {error}", { next, error: message });
        if (attempt === attempts) return;
      }
      await delay(pauseMs);
    }
  }
}
