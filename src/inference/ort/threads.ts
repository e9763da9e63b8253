import nodeThreads from "node:worker_threads";

/** Connects a session with one of its threads. The other end goes to `thread_worker.ts`. */
export type ThreadPort = MessagePort;

/**
 * Makes ONNX Runtime use threads that already exist instead of starting its own workers. From 2.9.1 to at least 2.9.6,
 * Deno takes 0.5 s to start a worker from within a worker, and 0.5 s more until its first message arrives. Workers that
 * the main thread starts do not have this delay.
 *
 * In Node's environment, Emscripten's glue code takes `Worker` from `node:worker_threads` and uses only the members below
 * (https://emscripten.org/docs/porting/pthreads.html; libpthread.js in its sources).
 */
export function useThreads(ports: readonly ThreadPort[]): void {
  const free = [...ports];
  class Thread {
    readonly #port: ThreadPort;

    constructor() {
      const port = free.pop();
      if (port === undefined) throw new Error("ONNX Runtime asked for more threads than it was given");
      this.#port = port;
    }

    on(event: string, listener: (message: unknown) => void): void {
      if (event === "message") this.#port.onmessage = ({ data }) => listener(data);
    }

    postMessage(message: unknown, transfer: Transferable[] = []): void {
      this.#port.postMessage(message, transfer);
    }

    terminate(): void {
      this.#port.close();
    }

    // No effect: threads end with the session's worker, and never keep the process running.
    ref(): void {}
    unref(): void {}
  }
  Object.assign(nodeThreads, { Worker: Thread });
}
