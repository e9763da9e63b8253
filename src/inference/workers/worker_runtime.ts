import { answer, type Call, type Hello, type Operations, type Reply } from "./rpc.ts";

/** Code that can run in a worker. */
export interface WorkerModule {
  /** The address of a module that calls `serveOperations`, or has a protocol of its own. */
  readonly url: string;
  /** Loads its operations on the main thread, for platforms without workers. */
  readonly load?: () => Promise<Operations>;
  /** Its permissions; none by default. */
  readonly permissions?: Deno.PermissionOptionsObject;
}

/** Receives the messages of a worker. */
export interface WorkerListener {
  message(message: Reply | Hello): void;
  /** The worker has ended by itself. */
  failed(cause: string): void;
}

export interface RunningWorker {
  post(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
}

/** Where work runs that must not hold up the main thread. */
export interface WorkerRuntime {
  readonly mode: "worker" | "inline";
  start(name: string, module: WorkerModule, listener: WorkerListener): RunningWorker;
}

/**
 * The best runtime that this platform has.
 * @param mode `auto` uses workers if the platform has them.
 * @throws {Error} if workers are required and the platform has none.
 */
export function chooseRuntime(mode: "auto" | "worker" | "inline"): WorkerRuntime {
  const hasWorkers = typeof Worker === "function";
  if (mode === "worker" && !hasWorkers) throw new Error("INFERENCE_MODE=worker: this platform has no workers");
  return mode === "inline" || !hasWorkers ? inlineRuntime : workerRuntime;
}

/**
 * Threads without permissions: a decoder that an image has taken over reaches no files, no network and no environment. On
 * a platform that does not know this option, workers have the permissions of the process, and say so ({@link Hello}).
 *
 * Deno knows the option if `unstable` in deno.json lists it, and ends the process if not. There is no need to handle that
 * case: the imports of this file are resolved by the same deno.json.
 */
export const workerRuntime: WorkerRuntime = {
  mode: "worker",

  start(name, { url, permissions }, listener) {
    const worker = startWorker(url, { type: "module", name }, permissions ?? "none");
    let ended = false;
    worker.onmessage = ({ data }) => listener.message(data);
    worker.onerror = (event) => {
      event.preventDefault();
      // An error may arrive after the worker was terminated.
      if (!ended) listener.failed(event.message);
    };
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      terminate() {
        ended = true;
        worker.terminate();
      },
    };
  },
};

function startWorker(url: string, options: WorkerOptions, permissions: Deno.PermissionOptions): Worker {
  try {
    return new Worker(url, { ...options, deno: { permissions } } as WorkerOptions);
  } catch {
    return new Worker(url, options);
  }
}

/** The main thread: everything else waits during a call, and no deadline can interrupt it. */
export const inlineRuntime: WorkerRuntime = {
  mode: "inline",

  start(name, { load }, listener) {
    if (load === undefined) throw new Error(`the ${name} worker cannot run on the main thread`);
    const operations = load();
    operations.catch(() => {});
    let ended = false;
    const send = (message: Reply | Hello) => {
      if (!ended) listener.message(message);
    };
    queueMicrotask(() => send({ sandboxed: false }));
    return {
      // In a turn of its own, so that requests are accepted between two operations.
      post: (call) => setTimeout(async () => send((await answer(operations, call as Call)).reply), 0),
      terminate() {
        ended = true;
      },
    };
  },
};
