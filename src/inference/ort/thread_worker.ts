import threads from "node:worker_threads";
import type { ThreadPort } from "./threads.ts";

/*
 * One of ONNX Runtime's threads: Emscripten's module in its role as a pthread, which it would take from
 * `node:worker_threads` if the session's worker had started this one. See threads.ts.
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
