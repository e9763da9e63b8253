import type { Logger } from "@logtape/logtape";
import { EngineError, ImageError } from "../../base/errors.ts";
import type { RunningWorker, WorkerModule, WorkerRuntime } from "./worker_runtime.ts";
import type { Call, Hello, Input, Operations, Reply, Value } from "./rpc.ts";

/** A worker that is being made ready. */
export interface NewWorker<Ops extends Operations> {
  /** Fails with `deadline_exceeded` after `timeoutMs`. */
  call<Op extends keyof Ops & string>(
    op: Op,
    input: Input<Ops, Op>,
    timeoutMs: number,
    transfer?: Transferable[],
  ): Promise<Value<Ops, Op>>;
  /** Starts one more, which ends with this one. */
  spawn(name: string, module: WorkerModule): RunningWorker;
  /** Notes that the step of this name has been done, so that no call does it again. */
  done(step: string): void;
}

export interface PoolOptions<Ops extends Operations> {
  /** What logs call these workers. */
  name: string;
  host: WorkerRuntime;
  module: WorkerModule;
  size: number;
  /**
   * Makes a new worker ready for calls. A worker that fails in here with an {@link EngineError} is replaced, and its
   * successor prepared with the next `attempt` (from 1 on), up to `attempts`.
   */
  prepare?: (worker: NewWorker<Ops>, attempt: number) => Promise<void>;
  attempts?: number;
  logger: Logger;
}

/** A step that each worker has to have done once before a call. */
export interface Step<Ops extends Operations, Op extends keyof Ops & string> {
  readonly name: string;
  readonly op: Op;
  readonly input: () => { input: Input<Ops, Op>; transfer?: Transferable[] };
}

export interface CallOptions<Ops extends Operations> {
  budget: Budget;
  transfer?: Transferable[];
  first?: Step<Ops, keyof Ops & string>;
  /** Told when a worker begins. */
  onStart?: () => void;
  /** Ends the waiting for a worker when aborted; one that has begun finishes. */
  signal?: AbortSignal;
}

/** What is left of the time that a job may take in workers, in milliseconds; waiting for a worker does not count. */
export interface Budget {
  leftMs: number;
}

/**
 * A fixed number of sandboxed workers, each with one call at a time. A worker that misses its deadline, throws or exits
 * is ended and replaced, so that one bad image costs one job.
 */
export class WorkerPool<Ops extends Operations> {
  readonly #options: PoolOptions<Ops>;
  readonly #slots: Slot[] = [];
  readonly #idle: Slot[] = [];
  readonly #waiting: { give(slot: Slot): void; refuse(reason: unknown): void }[] = [];
  #closed = false;
  #restarts = 0;
  #sandboxed = true;

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

  /** Whether these workers have no permissions, as far as they have said. */
  get sandboxed(): boolean {
    return this.#sandboxed;
  }

  /**
   * Calls an operation in the next free worker, and takes the time that it needs out of `budget`.
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} `deadline_exceeded`, `worker_failed` or `closed`.
   * @throws the reason of `signal`.
   */
  async call<Op extends keyof Ops & string>(
    op: Op,
    input: Input<Ops, Op>,
    { budget, transfer, first, onStart, signal }: CallOptions<Ops>,
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
      if (first !== undefined && !slot.steps.has(first.name)) {
        const { input, transfer } = first.input();
        await timed(first.op, input, transfer);
        slot.steps.add(first.name);
      }
      return await timed(op, input, transfer) as Value<Ops, Op>;
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
    const { name, host, module } = this.#options;
    const slot = new Slot(name, host, module, (hello) => this.#greet(hello));
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
    const { name, prepare, attempts = 1, logger } = this.#options;
    try {
      await prepare?.({
        call: (op, input, timeoutMs, transfer) => slot.call(op, input, timeoutMs, transfer) as never,
        spawn: (name, module) => slot.spawn(name, module),
        done: (step) => slot.steps.add(step),
      }, attempt);
    } catch (error) {
      if (this.#closed || !(error instanceof EngineError) || attempt >= attempts) throw error;
      this.#restarts++;
      logger.warn("{worker} worker did not become ready ({cause}); trying again", {
        worker: name,
        cause: firstLine(error),
      });
      slot.renew();
      await this.#prepare(slot, attempt + 1);
    }
  }

  #greet({ sandboxed }: Hello): void {
    const { name, host, module, logger } = this.#options;
    // Once is enough, and one that was given permissions is none.
    if (sandboxed || !this.#sandboxed) return;
    this.#sandboxed = false;
    if (module.permissions !== undefined) return;
    const where = host.mode === "inline" ? "on the main thread" : "with the permissions of the process";
    logger.warn("there is no sandbox here: the {worker} worker runs {where}", { worker: name, where });
  }

  /** Puts a new worker in the slot of one that has failed. */
  #replace(slot: Slot, cause: unknown): void {
    if (this.#closed) return;
    const { name, logger } = this.#options;
    this.#restarts++;
    logger.error("{worker} worker replaced: {cause}", {
      worker: name,
      cause: cause instanceof Error ? cause.message : String(cause),
    });
    slot.renew();
    this.#makeReady(slot);
  }

  async #acquire(signal?: AbortSignal): Promise<Slot> {
    if (this.#closed) throw new EngineError("closed", "the engine is shutting down");
    signal?.throwIfAborted();
    const slot = this.#idle.pop() ?? await this.#wait(signal);
    // It may have failed between two calls: this one is not at fault and takes the replacement.
    if (slot.ended !== undefined) this.#replace(slot, slot.ended);
    return slot;
  }

  async #wait(signal?: AbortSignal): Promise<Slot> {
    const { promise, resolve: give, reject: refuse } = Promise.withResolvers<Slot>();
    const waiting = { give, refuse };
    const leave = () => {
      const place = this.#waiting.indexOf(waiting);
      // It may have been given a worker a moment ago: then it goes on.
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      refuse(signal!.reason);
    };
    this.#waiting.push(waiting);
    signal?.addEventListener("abort", leave);
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
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
  /** What the worker has done of the steps that calls need. */
  readonly steps = new Set<string>();
  readonly #name: string;
  readonly #host: WorkerRuntime;
  readonly #module: WorkerModule;
  readonly #onHello: (hello: Hello) => void;
  #worker: RunningWorker;
  readonly #companions: RunningWorker[] = [];
  #nextId = 0;
  #settle?: { id: number; resolve(value: unknown): void; reject(error: unknown): void };

  constructor(name: string, host: WorkerRuntime, module: WorkerModule, onHello: (hello: Hello) => void) {
    this.#name = name;
    this.#host = host;
    this.#module = module;
    this.#onHello = onHello;
    this.#worker = this.#start();
  }

  /** Ends the worker that is here and starts a new one. */
  renew(): void {
    this.end(new EngineError("worker_failed", `the ${this.#name} worker was ended`));
    this.steps.clear();
    this.#worker = this.#start();
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
    this.#worker.post({ id, op, input } satisfies Call, transfer);
    return promise.finally(() => clearTimeout(timer));
  }

  spawn(name: string, module: WorkerModule): RunningWorker {
    const companion = this.#host.start(name, module, { message() {}, failed: (cause) => this.#fail(name, cause) });
    this.#companions.push(companion);
    return companion;
  }

  end(reason: EngineError): void {
    this.ended ??= reason;
    for (const worker of [this.#worker, ...this.#companions.splice(0)]) worker.terminate();
    this.#settle?.reject(reason);
    this.#settle = undefined;
  }

  #start(): RunningWorker {
    return this.#host.start(this.#name, this.#module, {
      message: (message) => this.#receive(message),
      failed: (cause) => this.#fail(this.#name, cause),
    });
  }

  #fail(name: string, cause: string): void {
    this.end(new EngineError("worker_failed", `the ${name} worker failed: ${cause}`));
  }

  #receive(message: Reply | Hello): void {
    if ("sandboxed" in message) return this.#onHello(message);
    if (message.id !== this.#settle?.id) return;
    const { resolve, reject } = this.#settle;
    this.#settle = undefined;
    if ("value" in message) resolve(message.value);
    else if ("imageError" in message) reject(new ImageError(message.imageError.code, message.imageError.message));
    else reject(new EngineError("worker_failed", `the ${this.#name} worker failed: ${message.failure}`));
  }
}

/** What a worker reports may end in a stack trace. */
function firstLine(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split("\n", 1)[0];
}
