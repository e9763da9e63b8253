/** The session worker that ships, except that it fails on the empty tensor of the warm-up. */
import { serveOperations } from "../../src/inference/workers/rpc.ts";
import type { InferInput, SessionOperations } from "../../src/inference/model/session.ts";

serveOperations(async () => {
  // Both imports are literal: a worker without permissions imports only what is known beforehand.
  const { sessionOperations }: { sessionOperations: SessionOperations } = import.meta.url.endsWith("?compiled")
    ? await import("../../src/inference/compiled/session.ts")
    : await import("../../src/inference/ort/wasm_session.ts");
  return {
    ...sessionOperations,
    async infer(input: InferInput) {
      if (input.tensor.every((value) => value === 0)) throw new Error("refused by the test");
      return await sessionOperations.infer(input);
    },
  };
});
