import type { Logger } from "@logtape/logtape";
import { EngineError, ImageError } from "./errors.ts";
import type { Call, Input, Operations, Reply, Value } from "./rpc.ts";

export interface PoolOptions<Ops extends Operations> {
  /** What logs call these workers. */
  name: string;
  /** The worker's module. */
  url: string;
  size: number;
  /** How long one call may take, in milliseconds. */
  timeoutMs: number;
  /** Makes a new worker ready for calls. */
  prepare?: (call: <Op extends keyof Ops & string>(op: Op, input: Input<Ops, Op>) => Promise<void>) => Promise<void>;
  logger: Logger;
}

/**
 * A fixed number of sandboxed workers, each with one call at a time. A worker that misses its deadline, throws or exits
 * is ended and replaced, so that one bad image costs one job.
 */
export class WorkerPool<Ops extends Operations> {
  readonly #options: PoolOptions<Ops>;
  readonly #slots: Slot[] = [];
  readonly #idle: Slot[] = [];
  readonly #waiting: ((slot: Slot) => void)[] = [];
  #closed = false;
  #restarts = 0;

  constructor(options: PoolOptions<Ops>) {
    this.#options = options;
    for (let i = 0; i < options.size; i++) this.#idle.push(this.#add());
  }

  /** Resolves once every worker has been prepared. */
  async ready(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.ready));
  }

  /** How many workers have been replaced so far. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Whether a worker is there that can take, or is at, a call. */
  get alive(): boolean {
    return this.#slots.some((slot) => slot.usable);
  }

  /**
   * Calls an operation in the next free worker.
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} `deadline_exceeded`, `worker_failed` or `closed`.
   */
  async call<Op extends keyof Ops & string>(
    op: Op,
    input: Input<Ops, Op>,
    transfer: Transferable[] = [],
  ): Promise<Value<Ops, Op>> {
    const slot = await this.#acquire();
    if (!slot.usable) {
      // It failed between two calls: this one is not at fault and takes the replacement.
      this.#replace(slot, slot.ended);
      return await this.call(op, input, transfer);
    }
    try {
      await slot.ready;
      return await slot.call(op, input, transfer, this.#options.timeoutMs) as Value<Ops, Op>;
    } catch (error) {
      if (!(error instanceof ImageError) && !this.#closed) this.#replace(slot, error);
      throw error;
    } finally {
      this.#release(slot);
    }
  }

  /** Ends every worker; calls under way fail with `closed`. */
  close(): void {
    this.#closed = true;
    for (const slot of this.#slots) slot.end(new EngineError("closed", "the engine is shutting down"));
  }

  #add(): Slot {
    const { name, url, prepare, timeoutMs } = this.#options;
    const slot = new Slot(name, url);
    slot.ready = (async () => await prepare?.(async (op, input) => void await slot.call(op, input, [], timeoutMs)))();
    // Reported to whoever calls next, or to `ready`.
    slot.ready.catch(() => {});
    this.#slots.push(slot);
    return slot;
  }

  #replace(slot: Slot, cause: unknown): void {
    this.#restarts++;
    this.#options.logger.error("{worker} worker replaced: {cause}", {
      worker: this.#options.name,
      cause: cause instanceof Error ? cause.message : String(cause),
    });
    slot.end(new EngineError("worker_failed", "the worker was ended"));
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    this.#hand(this.#add());
  }

  #acquire(): Promise<Slot> {
    if (this.#closed) return Promise.reject(new EngineError("closed", "the engine is shutting down"));
    const slot = this.#idle.pop();
    return slot === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(slot);
  }

  #release(slot: Slot): void {
    if (this.#slots.includes(slot)) this.#hand(slot);
  }

  #hand(slot: Slot): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(slot);
    else next(slot);
  }
}

/** One worker and the call it is at. */
class Slot {
  /** Resolves once the worker can be called; set by the pool. */
  ready: Promise<void> = Promise.resolve();
  /** Why the worker is no more, once it is. */
  ended?: EngineError;
  readonly #name: string;
  readonly #worker: Worker;
  #nextId = 0;
  #settle?: { id: number; resolve(value: unknown): void; reject(error: unknown): void };

  constructor(name: string, url: string) {
    this.#name = name;
    // No permissions: what an image makes a decoder do, it does without files, network or environment.
    const options: WorkerOptions = { type: "module", name, deno: { permissions: "none" } };
    this.#worker = new Worker(url, options);
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.end(new EngineError("worker_failed", `the ${name} worker failed: ${event.message}`));
    };
  }

  call(op: string, input: unknown, transfer: Transferable[], timeoutMs: number): Promise<unknown> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      this.end(new EngineError("deadline_exceeded", `${op} took longer than ${timeoutMs} ms`));
    }, timeoutMs);
    this.#settle = { id, resolve, reject };
    this.#worker.postMessage({ id, op, input } satisfies Call, transfer);
    return promise.finally(() => clearTimeout(timer));
  }

  get usable(): boolean {
    return this.ended === undefined;
  }

  end(reason: EngineError): void {
    this.ended ??= reason;
    this.#worker.terminate();
    this.#settle?.reject(reason);
    this.#settle = undefined;
  }

  #receive(reply: Reply): void {
    if (reply.id !== this.#settle?.id) return;
    const { resolve, reject } = this.#settle;
    this.#settle = undefined;
    if ("value" in reply) resolve(reply.value);
    else if ("imageError" in reply) reject(new ImageError(reply.imageError.code, reply.imageError.message));
    else reject(new EngineError("worker_failed", `the ${this.#name} worker failed: ${reply.failure}`));
  }
}
