import type { Logger } from "@logtape/logtape";
import ortWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm" with { type: "bytes" };
import PQueue from "p-queue";
import type { CodecOperations } from "./codec.ts";
import type { DecodeLimits } from "./decode.ts";
import { EngineError } from "./errors.ts";
import type { Model } from "./manifest.ts";
import { WorkerPool } from "./pool.ts";
import type { RenderOptions } from "./render_options.ts";
import type { SessionOperations } from "./session.ts";

export interface EngineOptions {
  model: Model;
  /** Threads of one inference. */
  threads: number;
  /** Inferences at a time; each holds the model and its working memory. */
  workers: number;
  limits: DecodeLimits;
  /** How long each step of a job may take, in milliseconds. */
  timeoutMs: number;
  /** How many jobs may wait. */
  queueLimit: number;
  logger: Logger;
}

export interface Job {
  readonly image: Uint8Array<ArrayBuffer>;
  readonly render: RenderOptions;
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
  readonly modelVersion: string;
  cutout(job: Job): Promise<Cutout>;
}

/**
 * From image bytes to a cutout, off the main thread: codec workers decode, render and encode; session workers run the
 * model. The two kinds work at different jobs at once, and a job whose mask is known never waits behind an inference.
 */
export class Engine implements CutoutMaker {
  readonly #options: EngineOptions;
  readonly #codecs: WorkerPool<CodecOperations>;
  readonly #sessions: WorkerPool<SessionOperations>;
  /** One more than can be inferred at once: the next image is decoded meanwhile, and no more pixels are held. */
  readonly #misses: PQueue;
  readonly #renders: PQueue;
  /** A moving average of how long a job with inference takes, in milliseconds. */
  #jobMs = 1000;
  #inferences = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { model, threads, timeoutMs, logger } = options;
    this.#codecs = new WorkerPool({
      name: "codec",
      url: import.meta.resolve("./codec_worker.ts"),
      size: 1,
      timeoutMs,
      logger,
    });
    this.#sessions = new WorkerPool({
      name: "session",
      url: import.meta.resolve("./session_worker.ts"),
      size: options.workers,
      timeoutMs,
      logger,
      prepare: (call) => call("start", { wasmBinary: ortWasm, model: model.bytes, manifest: model.manifest, threads }),
    });
    this.#misses = new PQueue({ concurrency: options.workers + 1 });
    this.#renders = new PQueue({ concurrency: 2 });
  }

  get modelVersion(): string {
    return this.#options.model.version;
  }

  /**
   * Resolves once the model is loaded and has run.
   * @throws {Error} where it cannot be, for example because its manifest does not fit it.
   */
  async ready(): Promise<void> {
    await this.#sessions.ready();
    const { input } = this.#options.model.manifest;
    // The first run compiles and allocates: no user should wait for that.
    await this.#sessions.call("infer", { tensor: new Float32Array(3 * input.width * input.height) });
  }

  status(): EngineStatus {
    return {
      health: this.#sessions.alive ? "ok" : "ng",
      backend: "wasm",
      threads: this.#options.threads,
      workers: this.#options.workers,
      waiting: this.#misses.size + this.#renders.size,
      running: this.#misses.pending + this.#renders.pending,
      inferences: this.#inferences,
      workerRestarts: this.#codecs.restarts + this.#sessions.restarts,
    };
  }

  /**
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} where the engine is.
   */
  async cutout(job: Job): Promise<Cutout> {
    const queue = job.maskFile === undefined ? this.#misses : this.#renders;
    if (this.#misses.size + this.#renders.size >= this.#options.queueLimit) {
      const waitMs = (this.#misses.size * this.#jobMs) / this.#options.workers;
      throw new EngineError("queue_full", "too many images are waiting", Math.max(1, Math.ceil(waitMs / 1000)));
    }
    return await queue.add(() => this.#work(job), { signal: job.signal });
  }

  close(): void {
    this.#codecs.close();
    this.#sessions.close();
  }

  async #work({ image, render: options, maskFile }: Job): Promise<Cutout> {
    const started = performance.now();
    const { model, limits } = this.#options;
    const manifest = maskFile === undefined ? model.manifest : undefined;
    const { pixels, tensor, decodeMs } = await this.#codecs.call("decode", { bytes: image, limits, manifest });
    const inferred = tensor && await this.#sessions.call("infer", { tensor }, [tensor.buffer]);
    const mask = maskFile ?? inferred!.mask;
    const { renderMs, encodeMs, ...rendered } = await this.#codecs.call("render", { pixels, mask, options }, [
      pixels.data.buffer,
    ]);
    if (inferred) {
      this.#inferences++;
      this.#jobMs += 0.2 * (performance.now() - started - this.#jobMs);
    }
    return {
      ...rendered,
      times: { decode: decodeMs, ...(inferred && { infer: inferred.inferMs }), render: renderMs, encode: encodeMs },
    };
  }
}
