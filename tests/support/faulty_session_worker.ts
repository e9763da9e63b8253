/**
 * The session worker that ships, with faults: a plain red image makes it spin, green makes it throw, blue makes it exit,
 * yellow makes it hang idle, and white makes it run out of memory.
 */
import { serveOperations } from "../../src/inference/workers/rpc.ts";
import type { InferInput, SessionOperations } from "../../src/inference/model/session.ts";

/** Longer than any deadline of the tests. Not endless: Deno cannot end a worker that computes, and it would slow later tests. */
const SPIN_MS = 14_000;

const faults: Record<string, () => void | Promise<never>> = {
  "1,0,0": () => {
    const started = performance.now();
    while (performance.now() - started < SPIN_MS);
  },
  "0,1,0": () => {
    throw new Error("thrown by the test");
  },
  "0,0,1": () => close(),
  "1,1,0": () => new Promise(() => {}),
  "1,1,1": () => {
    const kept: ArrayBuffer[] = [];
    for (;;) kept.push(new ArrayBuffer(2 ** 40));
  },
};

/** The colour of the tensor's first pixel, with each channel rounded to 0 or 1. */
function colourOf(tensor: Float32Array): string {
  const area = tensor.length / 3;
  return [0, 1, 2].map((channel) => tensor[channel * area] > 0 ? 1 : 0).join();
}

/** Whether the image has one colour; the empty tensor of the warm-up does not count. */
function isPlain(tensor: Float32Array): boolean {
  const area = tensor.length / 3;
  return tensor[0] !== 0 &&
    [0, 1, 2].every((channel) =>
      tensor.subarray(channel * area, (channel + 1) * area).every((value) => value === tensor[channel * area])
    );
}

serveOperations(async () => {
  // Both imports are literal: a worker without permissions imports only what is known beforehand.
  const { sessionOperations }: { sessionOperations: SessionOperations } = import.meta.url.endsWith("?compiled")
    ? await import("../../src/inference/compiled/session.ts")
    : await import("../../src/inference/ort/wasm_session.ts");
  return {
    ...sessionOperations,
    async infer(input: InferInput) {
      if (isPlain(input.tensor)) await faults[colourOf(input.tensor)]?.();
      return await sessionOperations.infer(input);
    },
  };
});
