import type { Logger } from "@logtape/logtape";
import { UnknownModelError } from "../../base/errors.ts";
import type { Layout } from "../../base/layout.ts";
import type { DecodeLimits } from "../../image/decode.ts";
import { regionBox } from "../../render/geometry.ts";
import type { RenderOptions } from "../../render/options.ts";
import type { Observer, Stage, Timings } from "../../telemetry/observer.ts";
import type { Model } from "../model/manifest.ts";
import { WorkerPool } from "../workers/worker_pool.ts";
import { chooseRuntime, type WorkerModule, type WorkerRuntime } from "../workers/worker_runtime.ts";
import type { BackendName } from "./backends.ts";
import type { ImageOperations } from "./image_operations.ts";
import { JobQueue } from "./job_queue.ts";
import { ModelSessions } from "./model_sessions.ts";

export interface EngineOptions {
  /** The models to load at the start; the first is the default. */
  models: [Model, ...Model[]];
  /** Models to load when a job names them. */
  modelsOnDemand?: readonly Model[];
  /** Where work runs. `auto`, the default, uses workers if the platform has them. */
  mode?: "auto" | "worker" | "inline";
  /** What runs the models; `wasm` by default. `auto` uses the best backend that loads. */
  backend?: BackendName | "auto";
  /** Threads of one inference. */
  threads: number;
  /** Inferences at once. Each has its own copy of the models that have run there, and its own working memory. */
  workers: number;
  limits: DecodeLimits;
  /** How long a job may take in workers, in milliseconds. */
  timeoutMs: number;
  /** How many jobs may wait. */
  queueLimit: number;
  logger: Logger;
  observer?: Pick<Observer, "stage">;
  /** Modules to run in place of the workers that ship, for tests of what happens when they fail. */
  workerUrls?: { image?: string; session?: string };
}

export interface Job {
  readonly image: Uint8Array<ArrayBuffer>;
  readonly render: RenderOptions;
  /** The file of the picture that `render.background_image` names. */
  readonly background?: Uint8Array<ArrayBuffer>;
  /** The name of the model; the default model if absent. */
  readonly model?: string;
  /** The image's mask as a file, if it is known. Then there is no inference. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  /** Whether `image` is a cutout of the default options. Its alpha is the mask, so there is no inference either. */
  readonly isCutout?: boolean;
  /** Called when the image's inference begins, and again when its rendering does. */
  readonly onState?: (state: "inferring" | "rendering") => void;
  /** Awaited when the job's turn has come, before any work is done for it. If it rejects, so does the job. */
  readonly onTurn?: () => Promise<void>;
  /** Takes the job out of the queue if aborted before its inference begins. After that the job finishes. */
  readonly signal?: AbortSignal;
}

export interface Cutout {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly layout: Layout;
  /** The mask as a grayscale PNG at the model's resolution, if it was inferred for this job. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  readonly times: Timings;
}

export interface EngineStatus {
  readonly health: "ok" | "ng";
  readonly backend: BackendName;
  /** Why it is that backend. */
  readonly backendReason: string;
  /** Whether work runs in workers or on the main thread. */
  readonly mode: WorkerRuntime["mode"];
  /** Whether the code that reads an image's bytes has no permissions. */
  readonly sandboxed: boolean;
  readonly threads: number;
  readonly workers: number;
  readonly waiting: number;
  /** How many jobs may wait. */
  readonly queueLimit: number;
  readonly running: number;
  /** The number of times that a model has run for a job. */
  readonly inferences: number;
  readonly workerRestarts: number;
}

/** What `src/cutouts` needs of an engine. */
export interface CutoutEngine {
  /**
   * The version of a model; of the default model without a name.
   * @throws {UnknownModelError}
   */
  modelVersion(name?: string): string;
  cutout(job: Job): Promise<Cutout>;
}

const IMAGE_WORKER: WorkerModule = {
  url: import.meta.resolve("./image_worker.ts"),
  load: async () => (await import("./image_operations.ts")).imageOperations,
};

/** One: decoding and rendering take a small part of the time of an inference, and each worker has pixels in memory. */
const IMAGE_WORKERS = 1;

/**
 * From the bytes of an image to its cutout, off the main thread. An image worker decodes, renders and encodes; session
 * workers run the model. Both work at the same time, on different jobs.
 */
export class Engine implements CutoutEngine {
  readonly #options: EngineOptions;
  readonly #models: Map<string, Model>;
  readonly #runtime: WorkerRuntime;
  readonly #images: WorkerPool<ImageOperations>;
  readonly #sessions: ModelSessions;
  readonly #queue: JobQueue;

  /** @throws {Error} if this process cannot load the backend that it requires, or has no workers and requires them. */
  constructor(options: EngineOptions) {
    this.#options = options;
    const { models, modelsOnDemand = [], backend = "wasm", threads, workers, timeoutMs, logger, workerUrls } = options;
    this.#models = new Map([...models, ...modelsOnDemand].map((model) => [model.manifest.name, model]));
    const runtime = chooseRuntime(options.mode ?? "auto");
    this.#runtime = runtime;
    this.#images = new WorkerPool({
      name: "image",
      runtime,
      module: { ...IMAGE_WORKER, url: workerUrls?.image ?? IMAGE_WORKER.url },
      size: IMAGE_WORKERS,
      logger,
    });
    const url = workerUrls?.session;
    this.#sessions = new ModelSessions({ backend, runtime, models, threads, workers, timeoutMs, url, logger });
    this.#queue = new JobQueue({ workers, limit: options.queueLimit });
  }

  modelVersion(name?: string): string {
    return this.#findModel(name).version;
  }

  /**
   * Resolves once every model of the start is loaded.
   * @throws {Error} if one cannot be loaded, for example because its manifest does not match it.
   */
  async ready(): Promise<void> {
    await this.#sessions.ready();
  }

  /**
   * Runs every model of the start that has not run yet, so that no request waits for the slower first run. Requests that
   * have already arrived go first.
   */
  async warmUp(): Promise<void> {
    await this.#queue.inferencesDone();
    await this.#sessions.warmUp();
  }

  /** Whether every model of the start has run. */
  get warm(): boolean {
    return this.#sessions.warm;
  }

  status(): EngineStatus {
    const { workers, queueLimit } = this.#options;
    const { backend, backendReason, threads, alive, inferences, restarts } = this.#sessions;
    const { waiting, running } = this.#queue;
    return {
      health: this.#images.alive && alive ? "ok" : "ng",
      backend,
      backendReason,
      mode: this.#runtime.mode,
      sandboxed: this.#images.sandboxed,
      threads,
      workers,
      waiting,
      queueLimit,
      running,
      inferences,
      workerRestarts: this.#images.restarts + restarts,
    };
  }

  /**
   * @throws {ImageError} if the image is at fault.
   * @throws {EngineError} if the engine is at fault.
   * @throws {UnknownModelError}
   */
  async cutout(job: Job): Promise<Cutout> {
    const model = this.#findModel(job.model);
    const needsInference = job.maskFile === undefined && !job.isCutout;
    return await this.#queue.run({ needsInference, signal: job.signal }, async () => {
      await job.onTurn?.();
      return await this.#makeCutout(job, model);
    });
  }

  close(): void {
    this.#images.close();
    this.#sessions.close();
  }

  #findModel(name?: string): Model {
    const model = this.#models.get(name ?? this.#options.models[0].manifest.name);
    if (model === undefined) throw new UnknownModelError(name!, [...this.#models.keys()]);
    return model;
  }

  async #makeCutout(
    { image, render: options, background, maskFile, isCutout, signal, onState }: Job,
    model: Model,
  ): Promise<Cutout> {
    const { limits, timeoutMs } = this.#options;
    const budget = { leftMs: timeoutMs };
    const manifest = maskFile === undefined && !isCutout ? model.manifest : undefined;
    const decoded = await this.#images.call("decode", { bytes: image, limits, manifest, options }, { budget, signal });
    const { pixels, tensor, decodeMs } = decoded;
    this.#report("decode", decodeMs);
    // Rendering checks the region too, but only after the inference.
    if (options.roi !== undefined) regionBox(options.roi, pixels);

    const onStart = () => onState?.("inferring");
    const inferred = tensor && await this.#sessions.infer(model, tensor, { budget, signal, onStart });
    if (inferred) this.#report("infer", inferred.inferMs);

    onState?.("rendering");
    const mask = maskFile ?? inferred?.mask;
    const input = { pixels, mask, options, background, limits };
    const transfer = [pixels.data.buffer];
    const { renderMs, encodeMs, ...cutout } = await this.#images.call("render", input, { budget, transfer });
    const now = performance.now();
    this.#report("render", renderMs, now - encodeMs);
    this.#report("encode", encodeMs, now);

    const inferTimes = inferred && { infer: inferred.inferMs };
    return { ...cutout, times: { decode: decodeMs, ...inferTimes, render: renderMs, encode: encodeMs } };
  }

  /** Reports a stage that a worker has timed with its own clock, as if it ended at `end`. */
  #report(stage: Stage, milliseconds: number, end = performance.now()): void {
    this.#options.observer?.stage(stage, end - milliseconds, end);
  }
}
