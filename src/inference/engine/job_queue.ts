import PQueue from "p-queue";
import { EngineError } from "../../base/errors.ts";

export interface JobQueueOptions {
  /** Inferences at once. */
  workers: number;
  /** How many jobs may wait. */
  limit: number;
}

export interface QueuedJobOptions {
  /** Whether the job needs an inference; it has its mask otherwise. */
  needsInference: boolean;
  /** Takes the job out of the queue if aborted before it begins. */
  signal?: AbortSignal;
}

/** While one image is inferred, the next is decoded. With more, pixels would be held that no worker can use yet. */
const DECODED_AHEAD = 1;

/**
 * Jobs with a known mask at once. All share the one image worker: with two jobs it goes on with one while the other's
 * answer is on its way. More would only hold more pixels.
 */
const RENDERS_AT_ONCE = 2;

/** The estimate before any job has ended: about what the default model takes on two cores. */
const FIRST_ESTIMATE_MS = 1000;

/** The weight of the latest job in the average. With 0.2 the last ten jobs make up nine tenths of it. */
const AVERAGE_WEIGHT = 0.2;

/**
 * The order of jobs. Jobs that need an inference and jobs that do not have separate queues, so a job with a known mask
 * never waits behind an inference.
 */
export class JobQueue {
  readonly #options: JobQueueOptions;
  readonly #inferences: PQueue;
  readonly #renders = new PQueue({ concurrency: RENDERS_AT_ONCE });
  /** A moving average of how long a job with an inference takes, in milliseconds. */
  #averageMs = FIRST_ESTIMATE_MS;

  constructor(options: JobQueueOptions) {
    this.#options = options;
    this.#inferences = new PQueue({ concurrency: options.workers + DECODED_AHEAD });
  }

  /** The number of jobs that have not begun. */
  get waiting(): number {
    return this.#inferences.size + this.#renders.size;
  }

  /** The number of jobs that have begun. */
  get running(): number {
    return this.#inferences.pending + this.#renders.pending;
  }

  /**
   * Runs a job when its turn comes.
   * @throws {EngineError} `queue_full`
   * @throws the reason of `signal`.
   */
  async run<T>({ needsInference, signal }: QueuedJobOptions, work: () => Promise<T>): Promise<T> {
    if (this.waiting >= this.#options.limit) {
      throw new EngineError("queue_full", "too many images are waiting", this.#retryAfterSeconds());
    }
    const queue = needsInference ? this.#inferences : this.#renders;
    // The queue keeps the async context, so spans and log lines of the job belong to its request.
    return await queue.add(async () => {
      const started = performance.now();
      const result = await work();
      if (needsInference) this.#averageMs += AVERAGE_WEIGHT * (performance.now() - started - this.#averageMs);
      return result;
    }, { signal });
  }

  /** Resolves once no job that needs an inference waits or runs. */
  async inferencesDone(): Promise<void> {
    await this.#inferences.onIdle();
  }

  /** When the jobs that wait for an inference now will have ended, in whole seconds. */
  #retryAfterSeconds(): number {
    const waitMs = this.#inferences.size * this.#averageMs / this.#options.workers;
    return Math.max(1, Math.ceil(waitMs / 1000));
  }
}
