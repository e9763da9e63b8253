/** The session worker that ships, except that it fails on the empty tensor of the warm-up. */
import { serveOperations } from "../../src/inference/workers/rpc.ts";
import type { InferInput } from "../../src/inference/model/session.ts";
import { sessionOperations } from "../../src/inference/ort/wasm_session.ts";

serveOperations(() =>
  Promise.resolve({
    ...sessionOperations,
    async infer(input: InferInput) {
      if (input.tensor.every((value) => value === 0)) throw new Error("refused by the test");
      return await sessionOperations.infer(input);
    },
  })
);
