import type { Logger } from "@logtape/logtape";
import { EngineError, ImageError } from "./errors.ts";
import type { Call, Input, Operations, Reply, Value } from "./rpc.ts";

/** Starts one more worker without permissions, which ends with the one that is being prepared. */
export type SpawnCompanion = (name: string, url: string) => Worker;

/** Calls one operation of one worker; fails with `deadline_exceeded` after `timeoutMs`. */
export type CallWorker<Ops extends Operations> = <Op extends keyof Ops & string>(
  op: Op,
  input: Input<Ops, Op>,
  timeoutMs: number,
  transfer?: Transferable[],
) => Promise<Value<Ops, Op>>;

export interface PoolOptions<Ops extends Operations> {
  /** What logs call these workers. */
  name: string;
  /** The worker's module. */
  url: string;
  size: number;
  /**
   * Makes a new worker ready for calls. A worker that misses its deadline in here is replaced, and its successor prepared
   * with the next `attempt` (from 1 on).
   */
  prepare?: (call: CallWorker<Ops>, attempt: number, spawn: SpawnCompanion) => Promise<void>;
  logger: Logger;
}

/** What is left of the time that a job may take in workers, in milliseconds; waiting for a worker does not count. */
export interface Budget {
  leftMs: number;
}

/** How often a worker is tried to be made ready before its pool gives up. */
const PREPARE_ATTEMPTS = 2;

/**
 * A fixed number of sandboxed workers, each with one call at a time. A worker that misses its deadline, throws or exits
 * is ended and replaced, so that one bad image costs one job.
 */
export class WorkerPool<Ops extends Operations> {
  readonly #options: PoolOptions<Ops>;
  readonly #slots: Slot[] = [];
  readonly #idle: Slot[] = [];
  readonly #waiting: { give(slot: Slot): void; refuse(error: EngineError): void }[] = [];
  #closed = false;
  #restarts = 0;

  constructor(options: PoolOptions<Ops>) {
    this.#options = options;
    for (let i = 0; i < options.size; i++) this.#idle.push(this.#add());
  }

  /**
   * Resolves once every worker has been prepared.
   * @throws {EngineError} where a worker cannot be prepared.
   */
  async ready(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.ready));
  }

  /** How many workers have been replaced so far. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Whether a worker is there that can take, or is at, a call. */
  get alive(): boolean {
    return this.#slots.some((slot) => slot.ended === undefined);
  }

  /**
   * Calls an operation in the next free worker, and takes the time that it needs out of `budget`.
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} `deadline_exceeded`, `worker_failed` or `closed`.
   */
  async call<Op extends keyof Ops & string>(
    op: Op,
    input: Input<Ops, Op>,
    { budget, transfer }: { budget: Budget; transfer?: Transferable[] },
  ): Promise<Value<Ops, Op>> {
    const slot = await this.#acquire();
    try {
      await slot.ready;
      const started = performance.now();
      try {
        return await slot.call(op, input, Math.max(1, budget.leftMs), transfer) as Value<Ops, Op>;
      } finally {
        budget.leftMs -= performance.now() - started;
      }
    } catch (error) {
      if (!(error instanceof ImageError)) this.#replace(slot, error);
      throw error;
    } finally {
      this.#hand(slot);
    }
  }

  /** Ends every worker; calls under way fail with `closed`. */
  close(): void {
    this.#closed = true;
    const closed = new EngineError("closed", "the engine is shutting down");
    for (const slot of this.#slots) slot.end(closed);
    for (const { refuse } of this.#waiting.splice(0)) refuse(closed);
  }

  #add(): Slot {
    const slot = new Slot(this.#options.name, this.#options.url);
    this.#slots.push(slot);
    this.#makeReady(slot);
    return slot;
  }

  #makeReady(slot: Slot): void {
    slot.ready = this.#prepare(slot, 1);
    // Reported to whoever calls next, or to `ready`.
    slot.ready.catch(() => {});
  }

  async #prepare(slot: Slot, attempt: number): Promise<void> {
    const { name, url, prepare, logger } = this.#options;
    try {
      await prepare?.(
        (op, input, timeoutMs, transfer) => slot.call(op, input, timeoutMs, transfer) as never,
        attempt,
        (name, url) => slot.spawnCompanion(name, url),
      );
    } catch (error) {
      const late = error instanceof EngineError && error.code === "deadline_exceeded";
      if (this.#closed || !late || attempt === PREPARE_ATTEMPTS) throw error;
      this.#restarts++;
      logger.warn("{worker} worker did not become ready ({cause}); trying again", {
        worker: name,
        cause: (error as Error).message,
      });
      slot.renew(name, url);
      await this.#prepare(slot, attempt + 1);
    }
  }

  /** Puts a new worker in the slot of one that has failed. */
  #replace(slot: Slot, cause: unknown): void {
    if (this.#closed) return;
    const { name, url, logger } = this.#options;
    this.#restarts++;
    logger.error("{worker} worker replaced: {cause}", {
      worker: name,
      cause: cause instanceof Error ? cause.message : String(cause),
    });
    slot.renew(name, url);
    this.#makeReady(slot);
  }

  async #acquire(): Promise<Slot> {
    if (this.#closed) throw new EngineError("closed", "the engine is shutting down");
    const slot = this.#idle.pop() ??
      await new Promise<Slot>((give, refuse) => this.#waiting.push({ give, refuse }));
    // It may have failed between two calls: this one is not at fault and takes the replacement.
    if (slot.ended !== undefined) this.#replace(slot, slot.ended);
    return slot;
  }

  #hand(slot: Slot): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(slot);
    else next.give(slot);
  }
}

/** A place for one worker, and the call that the worker there is at. */
class Slot {
  /** Resolves once the worker can be called; set by the pool. */
  ready: Promise<void> = Promise.resolve();
  /** Why the worker is no more, once it is. */
  ended?: EngineError;
  #worker: Worker;
  readonly #companions: Worker[] = [];
  #nextId = 0;
  #settle?: { id: number; resolve(value: unknown): void; reject(error: unknown): void };

  constructor(name: string, url: string) {
    this.#worker = this.#start(name, url);
  }

  /** Ends the worker that is here and starts a new one. */
  renew(name: string, url: string): void {
    this.end(new EngineError("worker_failed", `the ${name} worker was ended`));
    this.#worker = this.#start(name, url);
    this.ended = undefined;
  }

  call(op: string, input: unknown, timeoutMs: number, transfer: Transferable[] = []): Promise<unknown> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      this.end(new EngineError("deadline_exceeded", `${op} took longer than ${Math.round(timeoutMs)} ms`));
    }, timeoutMs);
    this.#settle = { id, resolve, reject };
    this.#worker.postMessage({ id, op, input } satisfies Call, transfer);
    return promise.finally(() => clearTimeout(timer));
  }

  spawnCompanion(name: string, url: string): Worker {
    const companion = startSandboxed(name, url);
    this.#companions.push(companion);
    companion.onerror = (event) => {
      event.preventDefault();
      if (!this.#companions.includes(companion)) return;
      this.end(new EngineError("worker_failed", `the ${name} worker failed: ${event.message}`));
    };
    return companion;
  }

  end(reason: EngineError): void {
    this.ended ??= reason;
    for (const worker of [this.#worker, ...this.#companions.splice(0)]) worker.terminate();
    this.#settle?.reject(reason);
    this.#settle = undefined;
  }

  #start(name: string, url: string): Worker {
    const worker = startSandboxed(name, url);
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(name, data);
    worker.onerror = (event) => {
      event.preventDefault();
      // A late word of a worker that has been replaced.
      if (worker !== this.#worker) return;
      this.end(new EngineError("worker_failed", `the ${name} worker failed: ${event.message}`));
    };
    return worker;
  }

  #receive(name: string, reply: Reply): void {
    if (reply.id !== this.#settle?.id) return;
    const { resolve, reject } = this.#settle;
    this.#settle = undefined;
    if ("value" in reply) resolve(reply.value);
    else if ("imageError" in reply) reject(new ImageError(reply.imageError.code, reply.imageError.message));
    else reject(new EngineError("worker_failed", `the ${name} worker failed: ${reply.failure}`));
  }
}

/** No permissions: what an image makes a decoder do, it does without files, network or environment. */
function startSandboxed(name: string, url: string): Worker {
  return new Worker(url, { type: "module", name, deno: { permissions: "none" } } as WorkerOptions);
}
