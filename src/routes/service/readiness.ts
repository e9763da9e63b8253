import type { Logger } from "@logtape/logtape";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../../inference/engine/engine.ts";

export interface WarmUpOptions {
  logger: Logger;
  /** How often the models are tried: each try that misses its deadline may leave a thread behind. */
  attempts?: number;
  /** Between two tries, in milliseconds. */
  pauseMs?: number;
}

/** Whether requests should be sent to this process, as load balancers ask before they do. */
export class Readiness {
  readonly #engine: Pick<Engine, "warm" | "warmUp">;
  #failure?: string;
  #stopping = false;

  constructor(engine: Pick<Engine, "warm" | "warmUp">) {
    this.#engine = engine;
  }

  /** Why no request should be sent here; undefined where one may be. */
  get reason(): string | undefined {
    if (this.#stopping) return "the server is stopping";
    if (this.#engine.warm) return undefined;
    return this.#failure ?? "the model has not run yet";
  }

  /** From now on there is no way back. */
  stop(): void {
    this.#stopping = true;
  }

  /** Has the models run for the first time. Where they cannot, the reason says so until a request has made them. */
  async warmUp({ logger, attempts = 3, pauseMs = 5000 }: WarmUpOptions): Promise<void> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#engine.warmUp();
      } catch (error) {
        // Its workers have been ended.
        if (this.#stopping) return;
        const message = error instanceof Error ? error.message : String(error);
        this.#failure = `the model's first run failed: ${message}`;
        const next = attempt === attempts ? "not ready until a request has made it run" : "trying again";
        logger.error("the model's first run failed, {next}: {error}", { next, error: message });
        if (attempt === attempts) return;
      }
      await delay(pauseMs);
    }
  }
}
