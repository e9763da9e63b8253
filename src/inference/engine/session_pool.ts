import type { Logger } from "@logtape/logtape";
import type { WorkerModule, WorkerRuntime } from "../workers/worker_runtime.ts";
import type { Model } from "../model/manifest.ts";
import { ortModule } from "../ort/ort_module.ts";
import { type CallOptions, type NewWorker, type Step, WorkerPool } from "../workers/worker_pool.ts";
import type { Inferred, SessionOperations } from "../model/session.ts";

export type Backend = "wasm" | "native";

export interface SessionPoolOptions {
  backend: Backend;
  host: WorkerRuntime;
  /** Loaded at the start. */
  models: readonly Model[];
  /** Threads of one inference. */
  threads: number;
  /** Inferences at a time; each holds the models that have run there and its working memory. */
  workers: number;
  /** How long loading a model, or its first run, may take, in milliseconds. */
  timeoutMs: number;
  /** A module to run in place of the worker that ships. */
  url?: string;
  logger: Logger;
}

const THREAD: WorkerModule = { url: import.meta.resolve("../ort/thread_worker.ts") };

/** What loading an add-on takes. It is given numbers, never an image's bytes. */
const NATIVE_PERMISSIONS = { ffi: true, read: true, env: true, sys: true };

const MODULES: Record<Backend, WorkerModule> = {
  wasm: {
    url: import.meta.resolve("../ort/wasm_session_worker.ts"),
    load: async () => (await import("../ort/wasm_session.ts")).sessionOperations,
  },
  native: {
    url: import.meta.resolve("../ort/native_session_worker.ts"),
    load: async () => (await import("../ort/native_session.ts")).sessionOperations,
    permissions: NATIVE_PERMISSIONS,
  },
};

/**
 * Why the native runtime may not be loaded; undefined where it may. To be asked first: with a frozen lock file an import
 * that fails makes every later one fail.
 */
export function nativeUnavailableReason(): string | undefined {
  const names = Object.keys(NATIVE_PERMISSIONS) as (keyof typeof NATIVE_PERMISSIONS)[];
  const missing = names.filter((name) => Deno.permissions.querySync({ name }).state !== "granted");
  return missing.length > 0 ? `it takes ${missing.map((name) => `--allow-${name}`).join(", ")}` : undefined;
}

/** The workers that run models. Any of them runs any model; one that has not run it yet loads it first. */
export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #pool: WorkerPool<SessionOperations>;
  readonly #warm = new Set<string>();
  #threads: number;
  #inferences = 0;

  constructor(options: SessionPoolOptions) {
    const { backend, host, threads, workers, url, logger } = options;
    this.#options = options;
    // Where there are no workers there are no threads either, and one session is as many as can run.
    this.#threads = host.mode === "inline" && backend === "wasm" ? 1 : threads;
    const module = MODULES[backend];
    this.#pool = new WorkerPool({
      name: "session",
      host,
      module: url === undefined ? module : { ...module, url },
      size: host.mode === "inline" ? 1 : workers,
      prepare: (worker, attempt) => this.#prepare(worker, attempt),
      attempts: backend === "wasm" && this.#threads > 1 ? 2 : 1,
      logger,
    });
  }

  get backend(): Backend {
    return this.#options.backend;
  }

  /** Threads that an inference really has; see `#prepare`. */
  get threads(): number {
    return this.#threads;
  }

  /** Runs of models for an image, since the start. */
  get inferences(): number {
    return this.#inferences;
  }

  /** Whether every model that is loaded at the start has run. */
  get warm(): boolean {
    return this.#options.models.every(({ manifest }) => this.#warm.has(manifest.name));
  }

  get restarts(): number {
    return this.#pool.restarts;
  }

  get alive(): boolean {
    return this.#pool.alive;
  }

  /**
   * Resolves once the models are loaded.
   * @throws {Error} where one cannot be, for example because its manifest does not fit it.
   */
  ready(): Promise<void> {
    return this.#pool.ready();
  }

  close(): void {
    this.#pool.close();
  }

  /**
   * Runs a model.
   * @param tensor as `preprocess` makes it; given away.
   * @param options as of {@link WorkerPool.call}.
   */
  async infer(
    model: Model,
    tensor: Float32Array<ArrayBuffer>,
    options: Pick<CallOptions<SessionOperations>, "budget" | "signal" | "onStart">,
  ): Promise<Inferred> {
    const { name } = model.manifest;
    const input = { model: name, tensor };
    const inferred = await this.#pool.call("infer", input, {
      ...options,
      transfer: [tensor.buffer],
      first: loading(model),
    });
    this.#inferences++;
    this.#warm.add(name);
    return inferred;
  }

  /**
   * Runs the models of the start on nothing, in each worker, unless they have run: the first run compiles and allocates,
   * and takes half as long again.
   * @throws {EngineError}
   */
  async warmUp(): Promise<void> {
    for (const { manifest: { name, input } } of this.#options.models) {
      if (this.#warm.has(name)) continue;
      const { workers, timeoutMs } = this.#options;
      await Promise.all(Array.from({ length: workers }, () => {
        const tensor = new Float32Array(3 * input.width * input.height);
        return this.#pool.call("infer", { model: name, tensor }, { budget: { leftMs: timeoutMs } });
      }));
      this.#warm.add(name);
    }
  }

  /** Loads the models. Where that does not end with threads, which not every platform can start, it goes on with one. */
  async #prepare(worker: NewWorker<SessionOperations>, attempt: number): Promise<void> {
    const { backend, models, timeoutMs, logger } = this.#options;
    if (attempt > 1) {
      logger.warn("threads do not start here: inference goes on with one");
      this.#threads = 1;
    }
    const { runtime, transfer } =
      await (backend === "wasm" ? startWasm(worker, this.#threads) : startNative(this.#threads));
    for (const [index, model] of models.entries()) {
      const { name, op, input } = loading(model);
      const { input: loadInput, transfer: modelBuffers = [] } = input();
      const { mismatch } = index === 0
        ? await worker.call("start", { runtime, first: loadInput }, timeoutMs, [...transfer, ...modelBuffers])
        : await worker.call(op, loadInput, timeoutMs, modelBuffers);
      if (mismatch !== undefined) {
        throw new Error(`the manifest of ${model.manifest.name} does not fit its model: ${mismatch}`);
      }
      worker.done(name);
    }
  }
}

interface Start {
  runtime: unknown;
  transfer: Transferable[];
}

async function startWasm(worker: NewWorker<SessionOperations>, count: number): Promise<Start> {
  const threads = Array.from({ length: count - 1 }, () => {
    const { port1, port2 } = new MessageChannel();
    worker.spawn("thread", THREAD).post(port1, [port1]);
    return port2;
  });
  return { runtime: { module: await ortModule(), threads }, transfer: threads };
}

function startNative(threads: number): Promise<Start> {
  return Promise.resolve({ runtime: { threads }, transfer: [] });
}

/** What a worker does once for each model. */
function loading({ manifest, bytes }: Model): Step<SessionOperations, "load"> {
  return {
    name: `load ${manifest.name}`,
    op: "load",
    input() {
      const model = bytes.slice();
      return { input: { model, manifest }, transfer: [model.buffer] };
    },
  };
}
