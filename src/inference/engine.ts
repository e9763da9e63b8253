import type { Logger } from "@logtape/logtape";
import PQueue from "p-queue";
import type { CodecOperations } from "./codec.ts";
import type { DecodeLimits } from "./decode.ts";
import { EngineError, UnknownModelError } from "./errors.ts";
import { type Layout, regionBox } from "./geometry.ts";
import type { Model } from "./manifest.ts";
import { WorkerPool } from "./pool.ts";
import type { RenderOptions } from "./render_options.ts";
import { ModelRunner } from "./runner.ts";

export interface EngineOptions {
  /** The models that can be asked for; the first is the default. */
  models: [Model, ...Model[]];
  /** Threads of one inference. */
  threads: number;
  /** Inferences at a time and model; each holds the model and its working memory. */
  workers: number;
  limits: DecodeLimits;
  /** How long a job may take in workers, in milliseconds. */
  timeoutMs: number;
  /** How many jobs may wait. */
  queueLimit: number;
  logger: Logger;
  /** Modules to run in place of the workers that ship; for tests of what happens when they fail. */
  workerUrls?: { codec?: string; session?: string };
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
  /** Takes the job out of the queue when aborted; a job that has begun is finished. */
  readonly signal?: AbortSignal;
}

/** Milliseconds spent in each step. */
export type StageTimes = Partial<Record<"decode" | "infer" | "render" | "encode", number>>;

export interface Cutout {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly layout: Layout;
  /** A grayscale PNG of the mask at the model's resolution, where it was inferred for this job. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  readonly times: StageTimes;
}

export interface EngineStatus {
  readonly health: "ok" | "ng";
  readonly backend: "wasm";
  readonly threads: number;
  readonly workers: number;
  readonly waiting: number;
  readonly running: number;
  /** Runs of the model for a job, since the start. */
  readonly inferences: number;
  readonly workerRestarts: number;
}

/** What the predictor needs of an engine. */
export interface CutoutMaker {
  /**
   * The version of a model, by its name.
   * @throws {UnknownModelError}
   */
  modelVersion(name?: string): string;
  cutout(job: Job): Promise<Cutout>;
}

/**
 * From image bytes to a cutout, off the main thread: codec workers decode, render and encode; session workers run the
 * model. The two kinds work at different jobs at once, and a job whose mask is known never waits behind an inference.
 */
export class Engine implements CutoutMaker {
  readonly #options: EngineOptions;
  readonly #codecs: WorkerPool<CodecOperations>;
  readonly #runners: Map<string, ModelRunner>;
  /** One more than can be inferred at once: the next image is decoded meanwhile, and no more pixels are held. */
  readonly #misses: PQueue;
  readonly #renders: PQueue;
  /** A moving average of how long a job with inference takes, in milliseconds. */
  #jobMs = 1000;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { models, threads, workers, timeoutMs, logger, workerUrls } = options;
    this.#codecs = new WorkerPool({
      name: "codec",
      url: workerUrls?.codec ?? import.meta.resolve("./codec_worker.ts"),
      size: 1,
      logger,
    });
    const url = workerUrls?.session ?? import.meta.resolve("./session_worker.ts");
    this.#runners = new Map(models.map((model) => [
      model.manifest.name,
      new ModelRunner(model, { threads, workers, timeoutMs, url, logger }),
    ]));
    this.#misses = new PQueue({ concurrency: workers + 1 });
    this.#renders = new PQueue({ concurrency: 2 });
  }

  modelVersion(name?: string): string {
    return this.#find(name).model.version;
  }

  /**
   * Resolves once every model is loaded.
   * @throws {Error} where one cannot be, for example because its manifest does not fit it.
   */
  async ready(): Promise<void> {
    await Promise.all(this.#runners.values().map((runner) => runner.ready()));
  }

  /**
   * Runs every model that has not run yet, so that no request waits for what a first run does besides. Requests that are
   * here already go first.
   */
  async warmUp(): Promise<void> {
    await this.#misses.onIdle();
    await Promise.all(this.#runners.values().map((runner) => runner.warmUp()));
  }

  status(): EngineStatus {
    const runners = [...this.#runners.values()];
    const sum = (count: (runner: ModelRunner) => number) => runners.reduce((total, runner) => total + count(runner), 0);
    return {
      health: this.#codecs.alive && runners.every(({ alive }) => alive) ? "ok" : "ng",
      backend: "wasm",
      threads: runners[0].threads,
      workers: this.#options.workers,
      waiting: this.#misses.size + this.#renders.size,
      running: this.#misses.pending + this.#renders.pending,
      inferences: sum(({ inferences }) => inferences),
      workerRestarts: this.#codecs.restarts + sum(({ restarts }) => restarts),
    };
  }

  /**
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} where the engine is.
   * @throws {UnknownModelError}
   */
  async cutout(job: Job): Promise<Cutout> {
    const runner = this.#find(job.model);
    const queue = job.maskFile === undefined ? this.#misses : this.#renders;
    if (this.#misses.size + this.#renders.size >= this.#options.queueLimit) {
      const waitMs = (this.#misses.size * this.#jobMs) / this.#options.workers;
      throw new EngineError("queue_full", "too many images are waiting", Math.max(1, Math.ceil(waitMs / 1000)));
    }
    return await queue.add(() => this.#work(job, runner), { signal: job.signal });
  }

  close(): void {
    this.#codecs.close();
    for (const runner of this.#runners.values()) runner.close();
  }

  #find(name?: string): ModelRunner {
    const runner = this.#runners.get(name ?? this.#options.models[0].manifest.name);
    if (runner === undefined) throw new UnknownModelError(name!, [...this.#runners.keys()]);
    return runner;
  }

  async #work({ image, render: options, background, maskFile }: Job, runner: ModelRunner): Promise<Cutout> {
    const started = performance.now();
    const { limits, timeoutMs } = this.#options;
    const budget = { leftMs: timeoutMs };
    const manifest = maskFile === undefined ? runner.model.manifest : undefined;
    const { pixels, tensor, decodeMs } = await this.#codecs.call("decode", { bytes: image, limits, manifest }, {
      budget,
    });
    // Told before the model runs, rather than by compose after it.
    if (options.roi !== undefined) regionBox(options.roi, pixels);
    const inferred = tensor && await runner.infer(tensor, budget);
    const mask = maskFile ?? inferred!.mask;
    const { renderMs, encodeMs, ...rendered } = await this.#codecs.call("render", {
      pixels,
      mask,
      options,
      background,
      limits,
    }, {
      budget,
      transfer: [pixels.data.buffer],
    });
    if (inferred) this.#jobMs += 0.2 * (performance.now() - started - this.#jobMs);
    return {
      ...rendered,
      times: { decode: decodeMs, ...(inferred && { infer: inferred.inferMs }), render: renderMs, encode: encodeMs },
    };
  }
}
