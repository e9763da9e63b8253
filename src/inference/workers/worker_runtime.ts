import { answer, type Call, type Hello, type Operations, type Reply } from "./rpc.ts";

/** What can run in a worker. */
export interface WorkerModule {
  /** A module that calls `serveOperations`, or talks some other way. */
  readonly url: string;
  /** Its operations, for where there are no workers. */
  readonly load?: () => Promise<Operations>;
  /** What it may do; nothing, where it is not given. */
  readonly permissions?: Deno.PermissionOptionsObject;
}

/** Hears what a worker says. */
export interface Listener {
  message(message: Reply | Hello): void;
  /** The worker is no more. */
  failed(cause: string): void;
}

export interface RunningWorker {
  post(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
}

/** Where work that must not hold up the main thread is done. */
export interface WorkerRuntime {
  readonly mode: "worker" | "inline";
  start(name: string, module: WorkerModule, listener: Listener): RunningWorker;
}

/**
 * The best place that this platform has.
 * @param mode `auto` takes workers wherever there are any.
 * @throws {Error} where workers are asked for and there are none.
 */
export function chooseRuntime(mode: "auto" | "worker" | "inline"): WorkerRuntime {
  const hasWorkers = typeof Worker === "function";
  if (mode === "worker" && !hasWorkers) throw new Error("INFERENCE_MODE=worker: there are no workers here");
  return mode === "inline" || !hasWorkers ? inlineRuntime : workerRuntime;
}

/**
 * Threads of their own, without permissions: what an image makes a decoder do, it does without files, network or
 * environment. Where a platform does not know that option of workers they have those of the process; they tell
 * ({@link Hello}).
 *
 * Deno knows the option where deno.json's `unstable` lists it, and ends the process where it does not. That is no case to
 * find out here: the imports of this very code are resolved by the same deno.json.
 */
export const workerRuntime: WorkerRuntime = {
  mode: "worker",

  start(name, { url, permissions }, listener) {
    const worker = startWorker(url, { type: "module", name }, permissions ?? "none");
    let ended = false;
    worker.onmessage = ({ data }) => listener.message(data);
    worker.onerror = (event) => {
      event.preventDefault();
      // It may have a last word after its end.
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

/** The main thread: whatever else there is to do waits meanwhile, and no deadline can interrupt it. */
export const inlineRuntime: WorkerRuntime = {
  mode: "inline",

  start(name, { load }, listener) {
    if (load === undefined) throw new Error(`there is no place for the ${name} worker without workers`);
    const operations = load();
    operations.catch(() => {});
    let ended = false;
    const say = (message: Reply | Hello) => {
      if (!ended) listener.message(message);
    };
    queueMicrotask(() => say({ sandboxed: false }));
    return {
      // In a turn of its own, so that requests are taken between two operations.
      post: (call) => setTimeout(async () => say((await answer(operations, call as Call)).reply), 0),
      terminate() {
        ended = true;
      },
    };
  },
};
