import type { Logger } from "@logtape/logtape";
import { EngineError, ImageError } from "../../base/errors.ts";
import type { Hello, Input, Operations, Value } from "./rpc.ts";
import type { RunningWorker, WorkerModule, WorkerRuntime } from "./worker_runtime.ts";
import { WorkerSlot } from "./worker_slot.ts";

/** A worker that is being prepared for calls. */
export interface NewWorker<Ops extends Operations> {
  /** @throws {EngineError} `deadline_exceeded` after `timeoutMs`. */
  call<Op extends keyof Ops & string>(
    op: Op,
    input: Input<Ops, Op>,
    timeoutMs: number,
    transfer?: Transferable[],
  ): Promise<Value<Ops, Op>>;
  /** Starts another worker, which ends with this one. */
  spawn(name: string, module: WorkerModule): RunningWorker;
  /** Notes that a setup step is done, so that no call repeats it. */
  markDone(step: string): void;
}

export interface WorkerPoolOptions<Ops extends Operations> {
  /** The name of these workers in logs and errors. */
  name: string;
  runtime: WorkerRuntime;
  module: WorkerModule;
  /** The number of workers. */
  size: number;
  /**
   * Prepares a new worker for calls. If this fails with an {@link EngineError}, the worker is replaced and the new one
   * prepared with the next `attempt` (counted from 1), up to `maxAttempts`.
   */
  prepare?: (worker: NewWorker<Ops>, attempt: number) => Promise<void>;
  /** 1 by default. */
  maxAttempts?: number;
  logger: Logger;
}

/** An operation that each worker has to run once before it can take certain calls. */
export interface SetupStep<Ops extends Operations, Op extends keyof Ops & string> {
  readonly name: string;
  readonly op: Op;
  readonly input: () => { input: Input<Ops, Op>; transfer?: Transferable[] };
}

export interface CallOptions<Ops extends Operations> {
  budget: Budget;
  /** Buffers of the input to move to the worker. */
  transfer?: Transferable[];
  /** Runs first if the worker has not done it yet. */
  setup?: SetupStep<Ops, keyof Ops & string>;
  /** Called when a worker begins. */
  onStart?: () => void;
  /** When aborted, the call no longer waits for a worker; a call that has begun finishes. */
  signal?: AbortSignal;
}

/** The time that a job may still spend in workers, in milliseconds. Time spent waiting for a worker does not count. */
export interface Budget {
  leftMs: number;
}

/**
 * A fixed number of sandboxed workers, each with one call at a time. A worker that misses its deadline, throws or exits
 * is replaced, so one bad image costs one job.
 */
export class WorkerPool<Ops extends Operations> {
  readonly #options: WorkerPoolOptions<Ops>;
  readonly #slots: WorkerSlot[] = [];
  readonly #idle: WorkerSlot[] = [];
  readonly #waiting: PromiseWithResolvers<WorkerSlot>[] = [];
  #closed = false;
  #restarts = 0;
  #sandboxed = true;

  constructor(options: WorkerPoolOptions<Ops>) {
    this.#options = options;
    for (let i = 0; i < options.size; i++) this.#idle.push(this.#add());
  }

  /**
   * Resolves once every worker is prepared.
   * @throws {EngineError} if a worker cannot be prepared.
   */
  async ready(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.ready));
  }

  /** The number of workers that have been replaced. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Whether at least one worker is running. */
  get alive(): boolean {
    return this.#slots.some((slot) => slot.ended === undefined);
  }

  /** Whether the workers have no permissions, as far as they have reported. */
  get sandboxed(): boolean {
    return this.#sandboxed;
  }

  /**
   * Calls an operation in the next free worker, and takes the time that it needs out of `budget`.
   * @throws {ImageError} if the image is at fault.
   * @throws {EngineError} `deadline_exceeded`, `worker_failed` or `closed`.
   * @throws the reason of `signal`.
   */
  async call<Op extends keyof Ops & string>(
    op: Op,
    input: Input<Ops, Op>,
    { budget, transfer, setup, onStart, signal }: CallOptions<Ops>,
  ): Promise<Value<Ops, Op>> {
    const slot = await this.#acquire(signal);
    const timed = async (op: string, input: unknown, transfer?: Transferable[]) => {
      const started = performance.now();
      try {
        return await slot.call(op, input, Math.max(1, budget.leftMs), transfer);
      } finally {
        budget.leftMs -= performance.now() - started;
      }
    };
    try {
      await slot.ready;
      onStart?.();
      if (setup !== undefined && !slot.doneSteps.has(setup.name)) {
        const { input, transfer } = setup.input();
        await timed(setup.op, input, transfer);
        slot.doneSteps.add(setup.name);
      }
      return await timed(op, input, transfer) as Value<Ops, Op>;
    } catch (error) {
      if (!(error instanceof ImageError)) this.#replace(slot, error);
      throw error;
    } finally {
      this.#release(slot);
    }
  }

  /** Ends every worker; calls under way fail with `closed`. */
  close(): void {
    this.#closed = true;
    const closed = new EngineError("closed", "the engine is shutting down");
    for (const slot of this.#slots) slot.end(closed);
    for (const { reject } of this.#waiting.splice(0)) reject(closed);
  }

  #add(): WorkerSlot {
    const { name, runtime, module } = this.#options;
    const slot = new WorkerSlot({ name, runtime, module, onHello: (hello) => this.#noteSandbox(hello) });
    this.#slots.push(slot);
    this.#makeReady(slot);
    return slot;
  }

  #makeReady(slot: WorkerSlot): void {
    slot.ready = this.#prepare(slot, 1);
    // The next call or `ready` reports the failure.
    slot.ready.catch(() => {});
  }

  async #prepare(slot: WorkerSlot, attempt: number): Promise<void> {
    const { name, prepare, maxAttempts = 1, logger } = this.#options;
    try {
      await prepare?.({
        call: (op, input, timeoutMs, transfer) => slot.call(op, input, timeoutMs, transfer) as never,
        spawn: (name, module) => slot.spawn(name, module),
        markDone: (step) => slot.doneSteps.add(step),
      }, attempt);
    } catch (error) {
      if (this.#closed || !(error instanceof EngineError) || attempt >= maxAttempts) throw error;
      this.#restarts++;
      logger.warn("the {worker} worker did not become ready ({cause}); trying again", {
        worker: name,
        // Failures that a worker reports end in a stack trace.
        cause: error.message.split("\n", 1)[0],
      });
      slot.renew();
      await this.#prepare(slot, attempt + 1);
    }
  }

  #noteSandbox({ sandboxed }: Hello): void {
    // One warning is enough for all workers.
    if (sandboxed || !this.#sandboxed) return;
    this.#sandboxed = false;
    const { name, runtime, module, logger } = this.#options;
    // A worker that was given permissions is not meant to be sandboxed.
    if (module.permissions !== undefined) return;
    const where = runtime.mode === "inline" ? "on the main thread" : "with the permissions of the process";
    logger.warn("the {worker} worker is not sandboxed: it runs {where}", { worker: name, where });
  }

  /** Puts a new worker in the slot of one that has failed. */
  #replace(slot: WorkerSlot, cause: unknown): void {
    if (this.#closed) return;
    const { name, logger } = this.#options;
    this.#restarts++;
    logger.error("the {worker} worker was replaced: {cause}", {
      worker: name,
      cause: cause instanceof Error ? cause.message : String(cause),
    });
    slot.renew();
    this.#makeReady(slot);
  }

  async #acquire(signal?: AbortSignal): Promise<WorkerSlot> {
    if (this.#closed) throw new EngineError("closed", "the engine is shutting down");
    signal?.throwIfAborted();
    const slot = this.#idle.pop() ?? await this.#wait(signal);
    // It may have failed between two calls. This call is not to blame and takes the replacement.
    if (slot.ended !== undefined) this.#replace(slot, slot.ended);
    return slot;
  }

  async #wait(signal?: AbortSignal): Promise<WorkerSlot> {
    const waiting = Promise.withResolvers<WorkerSlot>();
    const leave = () => {
      const place = this.#waiting.indexOf(waiting);
      // If it was given a worker a moment ago, the call goes on.
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      waiting.reject(signal!.reason);
    };
    this.#waiting.push(waiting);
    signal?.addEventListener("abort", leave);
    try {
      return await waiting.promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  #release(slot: WorkerSlot): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(slot);
    else next.resolve(slot);
  }
}
