import type * as Ort from "onnxruntime-web";
import { sessionOperationsOf } from "../model/session.ts";

export interface NativeSetup {
  /** Threads of one inference. */
  readonly threads: number;
}

/**
 * Not a literal in `import()`: Deno would add it to deno.lock, and fetches everything in there at the start. These are
 * 300 MB of binaries for all platforms, which only `deno.native.lock` lists.
 */
const PACKAGE: string = "npm:onnxruntime-node@1.30.0";

let ort: Pick<typeof Ort, "InferenceSession" | "Tensor">;
let threads: number;

/** Models on ONNX Runtime's native build, a Node-API add-on. */
export const sessionOperations = sessionOperationsOf<NativeSetup>({
  async start(setup) {
    threads = setup.threads;
    ort = await import(PACKAGE);
  },

  createSession(model) {
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
