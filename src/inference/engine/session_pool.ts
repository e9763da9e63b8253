import type { Logger } from "@logtape/logtape";
import type { Model } from "../model/manifest.ts";
import type { Inferred, SessionOperations } from "../model/session.ts";
import { type CallOptions, type NewWorker, type SetupStep, WorkerPool } from "../workers/worker_pool.ts";
import type { WorkerRuntime } from "../workers/worker_runtime.ts";
import { type Backend, type BackendName, backends } from "./backends.ts";

export interface SessionPoolOptions {
  /** `auto` uses the best backend that loads. */
  backend: BackendName | "auto";
  runtime: WorkerRuntime;
  /** The models to load at the start, unless the backend cannot run them; it must run the first. */
  models: readonly Model[];
  /** Threads of one inference. */
  threads: number;
  /** Inferences at once. Each has its own copy of the models that have run there, and its own working memory. */
  workers: number;
  /** How long loading a model, or its first run, may take, in milliseconds. */
  timeoutMs: number;
  /** A module to run in place of the backend's worker. */
  url?: string;
  logger: Logger;
}

/** The workers that run models. Any of them can run any model, and loads it first if necessary. */
export class SessionPool {
  readonly #options: SessionPoolOptions;
  /** The backends that have not been tried yet. */
  readonly #candidates: BackendName[];
  readonly #warm = new Set<string>();
  #backend: BackendName;
  /** Why no better backend runs: of each, what stands against it. */
  readonly #reasons: string[] = [];
  #threads = 1;
  #pool: WorkerPool<SessionOperations>;
  #inferences = 0;

  /** @throws {Error} if this process cannot load the backend that it requires. */
  constructor(options: SessionPoolOptions) {
    this.#options = options;
    const { backend } = options;
    this.#candidates = backend === "auto" ? Object.keys(backends) as BackendName[] : [backend];
    this.#backend = this.#nextBackend();
    this.#pool = this.#open();
  }

  get backend(): BackendName {
    return this.#backend;
  }

  /** Why it is this backend. */
  get backendReason(): string {
    if (this.#options.backend !== "auto") return "chosen by INFERENCE_BACKEND";
    return ["the fastest that loads", ...this.#reasons].join("; ");
  }

  /** Whether the backend can run a model. */
  runs(model: Model): boolean {
    const backend: Backend = backends[this.#backend];
    return backend.unsupportedReason?.(model) === undefined;
  }

  /** The threads that an inference really has: one if more do not work here. */
  get threads(): number {
    return this.#threads;
  }

  /** The number of times that a model has run for an image. */
  get inferences(): number {
    return this.#inferences;
  }

  /** Whether every model that is loaded at the start has run. */
  get warm(): boolean {
    return this.#models.every(({ manifest }) => this.#warm.has(manifest.name));
  }

  get restarts(): number {
    return this.#pool.restarts;
  }

  get alive(): boolean {
    return this.#pool.alive;
  }

  /**
   * Resolves once the models are loaded.
   * @throws {Error} if one cannot be loaded, for example because its manifest does not match it.
   */
  async ready(): Promise<void> {
    try {
      await this.#pool.ready();
    } catch (error) {
      if (this.#candidates.length === 0) throw error;
      // Failures that a worker reports end in a stack trace.
      this.#warnUnavailable(this.#backend, (error as Error).message.split("\n", 1)[0]);
      this.#pool.close();
      this.#backend = this.#nextBackend();
      this.#pool = this.#open();
      await this.ready();
    }
  }

  close(): void {
    this.#pool.close();
  }

  /**
   * Runs a model.
   * @param tensor from `preprocess`; moved to the worker.
   * @param options as for {@link WorkerPool.call}.
   */
  async infer(
    model: Model,
    tensor: Float32Array<ArrayBuffer>,
    options: Pick<CallOptions<SessionOperations>, "budget" | "signal" | "onStart">,
  ): Promise<Inferred> {
    const { name } = model.manifest;
    const inferred = await this.#pool.call("infer", { model: name, tensor }, {
      ...options,
      transfer: [tensor.buffer],
      setup: loadStep(model),
    });
    this.#inferences++;
    this.#warm.add(name);
    return inferred;
  }

  /**
   * Runs the models of the start on an empty tensor in each worker, unless they have run. The first run compiles code and
   * allocates memory, and takes half as long again as later ones.
   * @throws {EngineError}
   */
  async warmUp(): Promise<void> {
    const { workers, timeoutMs } = this.#options;
    for (const { manifest: { name, input } } of this.#models) {
      if (this.#warm.has(name)) continue;
      await Promise.all(Array.from({ length: workers }, () => {
        const tensor = new Float32Array(3 * input.width * input.height);
        return this.#pool.call("infer", { model: name, tensor }, { budget: { leftMs: timeoutMs } });
      }));
      this.#warm.add(name);
    }
  }

  /** The models of the start that the backend can run. */
  get #models(): readonly Model[] {
    return this.#options.models.filter((model) => this.runs(model));
  }

  /** @throws {Error} if this process can load none of the candidates that are left. */
  #nextBackend(): BackendName {
    for (;;) {
      const name = this.#candidates.shift()!;
      const backend: Backend = backends[name];
      // Ask before loading: with a frozen lock file, an import that fails makes every later import fail.
      const [model] = this.#options.models;
      const reason = backend.unavailableReason?.() ?? backend.unsupportedReason?.(model);
      if (reason === undefined) return name;
      if (this.#candidates.length === 0) throw new Error(`the ${name} backend cannot be loaded: ${reason}`);
      this.#warnUnavailable(name, reason);
    }
  }

  #warnUnavailable(backend: BackendName, reason: string): void {
    const [next] = this.#candidates;
    this.#reasons.push(`${backend}: ${reason}`);
    this.#options.logger.warn("the {backend} backend cannot be loaded, trying {next}: {reason}", {
      backend,
      next,
      reason,
    });
  }

  #open(): WorkerPool<SessionOperations> {
    const { runtime, threads, workers, url, logger } = this.#options;
    const { worker, threadsAreWorkers }: Backend = backends[this.#backend];
    // Without workers there are no such threads, and only one session can run at a time.
    const inline = runtime.mode === "inline";
    this.#threads = inline && threadsAreWorkers ? 1 : threads;
    return new WorkerPool({
      name: "session",
      runtime,
      module: url === undefined ? worker : { ...worker, url },
      size: inline ? 1 : workers,
      prepare: (worker, attempt) => this.#prepare(worker, attempt),
      maxAttempts: threadsAreWorkers && this.#threads > 1 ? 2 : 1,
      logger,
    });
  }

  /** Loads the models. If this fails with threads, which not every platform can start, it is tried again with one. */
  async #prepare(worker: NewWorker<SessionOperations>, attempt: number): Promise<void> {
    const { timeoutMs, logger } = this.#options;
    if (attempt > 1) {
      logger.warn("threads do not start on this platform: inference uses one thread");
      this.#threads = 1;
    }
    const backend: Backend = backends[this.#backend];
    const { setup, transfer = [] } = await backend.createSetup(worker, this.#threads);
    for (const [index, model] of this.#models.entries()) {
      const { name, op, input } = loadStep(model);
      const { input: loadInput, transfer: modelBuffers = [] } = input();
      const { mismatch } = index === 0
        ? await worker.call("start", { setup, first: loadInput }, timeoutMs, [...transfer, ...modelBuffers])
        : await worker.call(op, loadInput, timeoutMs, modelBuffers);
      if (mismatch !== undefined) {
        throw new Error(`the manifest of ${model.manifest.name} does not match its model: ${mismatch}`);
      }
      worker.markDone(name);
    }
  }
}

/** A worker does this once for each model. */
function loadStep({ manifest, bytes, plan }: Model): SetupStep<SessionOperations, "load"> {
  return {
    name: `load ${manifest.name}`,
    op: "load",
    input() {
      const model = bytes.slice();
      return { input: { model, manifest, plan }, transfer: [model.buffer] };
    },
  };
}
