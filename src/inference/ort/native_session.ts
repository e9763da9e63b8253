import type * as Ort from "onnxruntime-web";
import { operationsOf } from "../model/session.ts";

export interface NativeStart {
  /** Threads of one inference. */
  readonly threads: number;
}

/**
 * 300 MB of binaries for every platform, so nothing fetches it but this. Not written as a literal: Deno would add it to
 * deno.lock, and fetches whatever is there; `deno.native.lock` has it.
 */
const PACKAGE: string = "npm:onnxruntime-node@1.30.0";

let ort: Pick<typeof Ort, "InferenceSession" | "Tensor">;
let threads: number;

/** Models through ONNX Runtime's native build, a Node-API add-on. */
export const sessionOperations = operationsOf<NativeStart>({
  async start(input) {
    threads = input.threads;
    ort = await import(PACKAGE);
  },

  load(model) {
    return ort.InferenceSession.create(model, {
      executionProviders: ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
  },

  get Tensor() {
    return ort.Tensor;
  },
});
