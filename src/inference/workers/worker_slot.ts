import { EngineError, ImageError } from "../../base/errors.ts";
import type { Call, Hello, Reply } from "./rpc.ts";
import type { RunningWorker, WorkerModule, WorkerRuntime } from "./worker_runtime.ts";

export interface WorkerSlotOptions {
  /** The name of the worker in logs and errors. */
  name: string;
  runtime: WorkerRuntime;
  module: WorkerModule;
  onHello: (hello: Hello) => void;
}

/** A place for one worker at a time, and for the one call that the worker is running. */
export class WorkerSlot {
  /** Resolves once the worker can be called; set by the pool. */
  ready: Promise<void> = Promise.resolve();
  /** Why the worker has ended; undefined while it runs. */
  ended?: EngineError;
  /** The names of the setup steps that the worker has done. */
  readonly doneSteps = new Set<string>();
  readonly #options: WorkerSlotOptions;
  #worker: RunningWorker;
  /** Workers that this one needs, such as its threads. They end with it. */
  readonly #companions: RunningWorker[] = [];
  #nextId = 0;
  #pending?: { id: number; resolve(value: unknown): void; reject(error: unknown): void };

  constructor(options: WorkerSlotOptions) {
    this.#options = options;
    this.#worker = this.#start();
  }

  /** Ends the worker and starts a new one. */
  renew(): void {
    this.end(new EngineError("worker_failed", `the ${this.#options.name} worker was stopped`));
    this.doneSteps.clear();
    this.#worker = this.#start();
    this.ended = undefined;
  }

  /** @throws {EngineError} `deadline_exceeded` after `timeoutMs`; the worker is ended then. */
  call(op: string, input: unknown, timeoutMs: number, transfer: Transferable[] = []): Promise<unknown> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      this.end(new EngineError("deadline_exceeded", `${op} took longer than ${Math.round(timeoutMs)} ms`));
    }, timeoutMs);
    this.#pending = { id, resolve, reject };
    this.#worker.post({ id, op, input } satisfies Call, transfer);
    return promise.finally(() => clearTimeout(timer));
  }

  /** Starts a companion of the worker. */
  spawn(name: string, module: WorkerModule): RunningWorker {
    const companion = this.#options.runtime.start(name, module, {
      message() {},
      failed: (cause) => this.#fail(name, cause),
    });
    this.#companions.push(companion);
    return companion;
  }

  /** Ends the worker and its companions; the call that is under way fails with `reason`. */
  end(reason: EngineError): void {
    this.ended ??= reason;
    for (const worker of [this.#worker, ...this.#companions.splice(0)]) worker.terminate();
    this.#pending?.reject(reason);
    this.#pending = undefined;
  }

  #start(): RunningWorker {
    const { name, runtime, module } = this.#options;
    return runtime.start(name, module, {
      message: (message) => this.#receive(message),
      failed: (cause) => this.#fail(name, cause),
    });
  }

  #fail(name: string, cause: string): void {
    this.end(new EngineError("worker_failed", `the ${name} worker failed: ${cause}`));
  }

  #receive(message: Reply | Hello): void {
    if ("sandboxed" in message) return this.#options.onHello(message);
    if (message.id !== this.#pending?.id) return;
    const { resolve, reject } = this.#pending;
    this.#pending = undefined;
    if ("value" in message) resolve(message.value);
    else if ("imageError" in message) reject(new ImageError(message.imageError.code, message.imageError.message));
    else reject(new EngineError("worker_failed", `the ${this.#options.name} worker failed: ${message.failure}`));
  }
}
