import nodeThreads from "node:worker_threads";

/** Connects a session with one of its threads; the other end is posted to `thread_worker.ts`. */
export type ThreadPort = MessagePort;

/**
 * Makes ONNX Runtime use threads that are there already, in place of starting workers of its own. Deno 2.9.1 and later (up
 * to 2.9.6 at least) takes 0.5 s to start a worker from within a worker, and 0.5 s more for its first message; not so for
 * workers that the main thread starts.
 *
 * The glue of Emscripten, in Node's environment, takes `Worker` from `node:worker_threads`, and of a worker uses just the
 * members below (https://emscripten.org/docs/porting/pthreads.html; libpthread.js in its sources).
 */
export function useThreads(ports: readonly ThreadPort[]): void {
  const free = [...ports];
  class Thread {
    readonly #port: ThreadPort;

    constructor() {
      const port = free.pop();
      if (port === undefined) throw new Error("ONNX Runtime asked for more threads than it was told that it has");
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

    // Neither keeps its process running: they end with the session's worker.
    ref(): void {}
    unref(): void {}
  }
  Object.assign(nodeThreads, { Worker: Thread });
}
