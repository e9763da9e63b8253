import type { Logger } from "@logtape/logtape";
import ortWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm" with { type: "bytes" };
import type { Model } from "./manifest.ts";
import { type Budget, type CallWorker, type SpawnCompanion, WorkerPool } from "./pool.ts";
import type { Inferred, SessionOperations } from "./session.ts";

export interface RunnerOptions {
  /** Threads of one inference. */
  threads: number;
  /** Inferences at a time; each holds the model and its working memory. */
  workers: number;
  /** How long loading the model, or its first run, may take, in milliseconds. */
  timeoutMs: number;
  /** The worker's module. */
  url: string;
  logger: Logger;
}

const THREAD_WORKER = import.meta.resolve("./thread_worker.ts");

/** One model and the workers that run it. */
export class ModelRunner {
  readonly model: Model;
  readonly #options: RunnerOptions;
  readonly #sessions: WorkerPool<SessionOperations>;
  #threads: number;
  #inferences = 0;
  #used = false;

  constructor(model: Model, options: RunnerOptions) {
    this.model = model;
    this.#options = options;
    this.#threads = options.threads;
    this.#sessions = new WorkerPool({
      name: `${model.manifest.name} session`,
      url: options.url,
      size: options.workers,
      prepare: (call, attempt, spawn) => this.#prepare(call, attempt, spawn),
      logger: options.logger,
    });
  }

  /** Threads that an inference really has; see `#prepare`. */
  get threads(): number {
    return this.#threads;
  }

  /** Runs of the model for an image, since the start. */
  get inferences(): number {
    return this.#inferences;
  }

  get restarts(): number {
    return this.#sessions.restarts;
  }

  get alive(): boolean {
    return this.#sessions.alive;
  }

  /**
   * Resolves once the model is loaded.
   * @throws {Error} where it cannot be, for example because its manifest does not fit it.
   */
  ready(): Promise<void> {
    return this.#sessions.ready();
  }

  close(): void {
    this.#sessions.close();
  }

  /**
   * Runs the model.
   * @param tensor as `preprocess` makes it; given away.
   */
  async infer(tensor: Float32Array<ArrayBuffer>, budget: Budget): Promise<Inferred> {
    this.#used = true;
    const inferred = await this.#sessions.call("infer", { tensor }, { budget, transfer: [tensor.buffer] });
    this.#inferences++;
    return inferred;
  }

  /**
   * Runs the model on nothing, in each of its workers, unless it has run: the first run compiles and
   * allocates, and takes half as long again.
   * @throws {EngineError}
   */
  async warmUp(): Promise<void> {
    if (this.#used) return;
    this.#used = true;
    const { width, height } = this.model.manifest.input;
    const tensor = new Float32Array(3 * width * height);
    const { workers, timeoutMs } = this.#options;
    await Promise.all(Array.from({ length: workers }, () => {
      return this.#sessions.call("infer", { tensor }, { budget: { leftMs: timeoutMs } });
    }));
  }

  /** Loads the model. Where that does not end with threads, which not every platform can start, it goes on with one. */
  async #prepare(call: CallWorker<SessionOperations>, attempt: number, spawn: SpawnCompanion): Promise<void> {
    const { timeoutMs, logger } = this.#options;
    const { manifest, bytes } = this.model;
    if (attempt > 1 && this.#threads > 1) {
      logger.warn("threads do not start here: inference goes on with one");
      this.#threads = 1;
    }
    // Copies to give away: sent as they are, they would be copied twice on the way.
    const [wasmBinary, model] = [ortWasm.slice(), bytes.slice()];
    const threads = Array.from({ length: this.#threads - 1 }, () => {
      const { port1, port2 } = new MessageChannel();
      spawn(`${manifest.name} thread`, THREAD_WORKER).postMessage(port1, [port1]);
      return port2;
    });
    await call("start", { wasmBinary, model, manifest, threads }, timeoutMs, [
      wasmBinary.buffer,
      model.buffer,
      ...threads,
    ]);
  }
}
