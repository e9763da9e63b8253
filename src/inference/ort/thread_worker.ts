import threads from "node:worker_threads";
import type { ThreadPort } from "./threads.ts";

/*
 * One of ONNX Runtime's threads. Emscripten's module learns from `node:worker_threads` that it runs as a pthread, and who
 * started it. The session's worker did not start this worker, so both are set here. See threads.ts.
 */
const scope = globalThis as unknown as { onmessage: (event: MessageEvent<ThreadPort>) => void };

scope.onmessage = async ({ data: port }) => {
  const parentPort = {
    on(event: string, listener: (message: unknown) => void) {
      if (event === "message") port.onmessage = ({ data }) => listener(data);
    },
    postMessage: (message: unknown) => port.postMessage(message),
  };
  Object.assign(threads, { workerData: "em-pthread", parentPort });
  const { default: run } = await import("onnxruntime-web/ort-wasm-simd-threaded.mjs");
  await run();
};
