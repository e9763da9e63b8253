import type { Logger } from "@logtape/logtape";
import PQueue from "p-queue";
import type { Observer, Stage, Timings } from "../../telemetry/observer.ts";
import type { ImageOperations } from "./image_operations.ts";
import type { DecodeLimits } from "../../image/decode.ts";
import { EngineError, UnknownModelError } from "../../base/errors.ts";
import { regionBox } from "../../render/geometry.ts";
import { type Layout } from "../../base/layout.ts";
import type { Model } from "../model/manifest.ts";
import { chooseRuntime, type WorkerModule, type WorkerRuntime } from "../workers/worker_runtime.ts";
import { WorkerPool } from "../workers/worker_pool.ts";
import type { RenderOptions } from "../../render/options.ts";
import { type Backend, nativeUnavailableReason, SessionPool } from "./session_pool.ts";

export interface EngineOptions {
  /** The models that are loaded at the start; the first is the default. */
  models: [Model, ...Model[]];
  /** Models that are loaded when somebody asks for them. */
  modelsOnDemand?: readonly Model[];
  /** Where the work is done; by default in workers, wherever there are any. */
  mode?: "auto" | "worker" | "inline";
  /** Which ONNX Runtime; by default WASM. `auto` is the native one where it loads. */
  backend?: Backend | "auto";
  /** Threads of one inference. */
  threads: number;
  /** Inferences at a time; each holds the models that have run there and its working memory. */
  workers: number;
  limits: DecodeLimits;
  /** How long a job may take in workers, in milliseconds. */
  timeoutMs: number;
  /** How many jobs may wait. */
  queueLimit: number;
  logger: Logger;
  observer?: Pick<Observer, "stage">;
  /** Modules to run in place of the workers that ship; for tests of what happens when they fail. */
  workerUrls?: { image?: string; session?: string };
}

export interface Job {
  readonly image: Uint8Array<ArrayBuffer>;
  readonly render: RenderOptions;
  /** The file of the picture that `render.background_image` names. */
  readonly background?: Uint8Array<ArrayBuffer>;
  /** The name of the model; the default one where it is not given. */
  readonly model?: string;
  /** The image's mask as a file, where it is known: nothing is inferred then. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  /** Called when the image's inference begins, and again when its rendering does. */
  readonly onState?: (state: "inferring" | "rendering") => void;
  /** Takes the job out of the queue when aborted, up to when its inference begins; from then on it is finished. */
  readonly signal?: AbortSignal;
}

const CODEC: WorkerModule = {
  url: import.meta.resolve("./image_worker.ts"),
  load: async () => (await import("./image_operations.ts")).imageOperations,
};

export interface Cutout {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly layout: Layout;
  /** A grayscale PNG of the mask at the model's resolution, where it was inferred for this job. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  readonly times: Timings;
}

export interface EngineStatus {
  readonly health: "ok" | "ng";
  readonly backend: Backend;
  /** Whether work is done in workers, or on the main thread. */
  readonly mode: WorkerRuntime["mode"];
  /** Whether what touches an image's bytes has no permissions. */
  readonly sandboxed: boolean;
  readonly threads: number;
  readonly workers: number;
  readonly waiting: number;
  /** How many may wait. */
  readonly queueLimit: number;
  readonly running: number;
  /** Runs of the model for a job, since the start. */
  readonly inferences: number;
  readonly workerRestarts: number;
}

/** What the cutouts needs of an engine. */
export interface CutoutEngine {
  /**
   * The version of a model, by its name.
   * @throws {UnknownModelError}
   */
  modelVersion(name?: string): string;
  cutout(job: Job): Promise<Cutout>;
}

/**
 * From image bytes to a cutout, off the main thread: image workers decode, render and encode; session workers run the
 * model. The two kinds work at different jobs at once, and a job whose mask is known never waits behind an inference.
 */
export class Engine implements CutoutEngine {
  readonly #options: EngineOptions;
  readonly #host: WorkerRuntime;
  readonly #images: WorkerPool<ImageOperations>;
  #sessions: SessionPool;
  readonly #models: Map<string, Model>;
  /** One more than can be inferred at once: the next image is decoded meanwhile, and no more pixels are held. */
  readonly #misses: PQueue;
  readonly #renders: PQueue;
  /** A moving average of how long a job with inference takes, in milliseconds. */
  #jobMs = 1000;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { models, modelsOnDemand = [], mode = "auto", workers, logger, workerUrls } = options;
    this.#models = new Map([...models, ...modelsOnDemand].map((model) => [model.manifest.name, model]));
    this.#host = chooseRuntime(mode);
    this.#images = new WorkerPool({
      name: "image",
      host: this.#host,
      module: { ...CODEC, url: workerUrls?.image ?? CODEC.url },
      size: 1,
      logger,
    });
    this.#sessions = this.#openSessions(this.#chooseBackend());
    this.#misses = new PQueue({ concurrency: workers + 1 });
    this.#renders = new PQueue({ concurrency: 2 });
  }

  modelVersion(name?: string): string {
    return this.#find(name).version;
  }

  /**
   * Resolves once every model of the start is loaded.
   * @throws {Error} where one cannot be, for example because its manifest does not fit it.
   */
  async ready(): Promise<void> {
    try {
      await this.#sessions.ready();
    } catch (error) {
      if (this.#options.backend !== "auto" || this.#sessions.backend === "wasm") throw error;
      this.#noteFallback((error as Error).message.split("\n", 1)[0]);
      this.#sessions.close();
      this.#sessions = this.#openSessions("wasm");
      await this.#sessions.ready();
    }
  }

  /**
   * Runs every model of the start that has not run yet, so that no request waits for what a first run does besides.
   * Requests that are here already go first.
   */
  async warmUp(): Promise<void> {
    await this.#misses.onIdle();
    await this.#sessions.warmUp();
  }

  /** Whether every model of the start has run. */
  get warm(): boolean {
    return this.#sessions.warm;
  }

  status(): EngineStatus {
    const { backend, threads, alive, inferences, restarts } = this.#sessions;
    return {
      health: this.#images.alive && alive ? "ok" : "ng",
      backend,
      mode: this.#host.mode,
      sandboxed: this.#images.sandboxed,
      threads,
      workers: this.#options.workers,
      waiting: this.#misses.size + this.#renders.size,
      queueLimit: this.#options.queueLimit,
      running: this.#misses.pending + this.#renders.pending,
      inferences,
      workerRestarts: this.#images.restarts + restarts,
    };
  }

  /**
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} where the engine is.
   * @throws {UnknownModelError}
   */
  async cutout(job: Job): Promise<Cutout> {
    const model = this.#find(job.model);
    const queue = job.maskFile === undefined ? this.#misses : this.#renders;
    if (this.#misses.size + this.#renders.size >= this.#options.queueLimit) {
      const waitMs = (this.#misses.size * this.#jobMs) / this.#options.workers;
      throw new EngineError("queue_full", "too many images are waiting", Math.max(1, Math.ceil(waitMs / 1000)));
    }
    // The queue keeps the async context, and so the request that a job's spans and log lines belong to.
    return await queue.add(() => this.#work(job, model), { signal: job.signal });
  }

  close(): void {
    this.#images.close();
    this.#sessions.close();
  }

  /** @throws {Error} where the native runtime is asked for and may not be loaded. */
  #chooseBackend(): Backend {
    const { backend = "wasm" } = this.#options;
    if (backend === "wasm") return "wasm";
    const obstacle = nativeUnavailableReason();
    if (obstacle === undefined) return "native";
    if (backend === "native") {
      throw new Error(`the native ONNX Runtime may not be loaded, ${obstacle}: start with \`deno task start:native\``);
    }
    this.#noteFallback(obstacle);
    return "wasm";
  }

  #noteFallback(cause: string): void {
    this.#options.logger.warn("the native ONNX Runtime does not load here, WASM is used instead: {cause}", { cause });
  }

  #openSessions(backend: Backend): SessionPool {
    const { models, threads, workers, timeoutMs, logger, workerUrls } = this.#options;
    const host = this.#host;
    return new SessionPool({ backend, host, models, threads, workers, timeoutMs, url: workerUrls?.session, logger });
  }

  #find(name?: string): Model {
    const model = this.#models.get(name ?? this.#options.models[0].manifest.name);
    if (model === undefined) throw new UnknownModelError(name!, [...this.#models.keys()]);
    return model;
  }

  async #work(
    { image, render: options, background, maskFile, signal, onState }: Job,
    model: Model,
  ): Promise<Cutout> {
    const started = performance.now();
    const { limits, timeoutMs } = this.#options;
    const budget = { leftMs: timeoutMs };
    const manifest = maskFile === undefined ? model.manifest : undefined;
    const { pixels, tensor, decodeMs } = await this.#images.call("decode", { bytes: image, limits, manifest }, {
      budget,
      signal,
    });
    this.#ended("decode", decodeMs);
    // Told before the model runs, rather than by compose after it.
    if (options.roi !== undefined) regionBox(options.roi, pixels);
    const onStart = () => onState?.("inferring");
    const inferred = tensor && await this.#sessions.infer(model, tensor, { budget, signal, onStart });
    if (inferred) this.#ended("infer", inferred.inferMs);
    const mask = maskFile ?? inferred!.mask;
    onState?.("rendering");
    const { renderMs, encodeMs, ...rendered } = await this.#images.call("render", {
      pixels,
      mask,
      options,
      background,
      limits,
    }, {
      budget,
      transfer: [pixels.data.buffer],
    });
    const now = performance.now();
    this.#ended("render", renderMs, now - encodeMs);
    this.#ended("encode", encodeMs, now);
    if (inferred) this.#jobMs += 0.2 * (now - started - this.#jobMs);
    return {
      ...rendered,
      times: { decode: decodeMs, ...(inferred && { infer: inferred.inferMs }), render: renderMs, encode: encodeMs },
    };
  }

  /** A stage that a worker has timed by its own clock, and ended by now. */
  #ended(stage: Stage, milliseconds: number, now = performance.now()): void {
    this.#options.observer?.stage(stage, now - milliseconds, now);
  }
}
