import { borrowKernels, wholeVectors } from "../../image/kernels.ts";
import type { Manifest } from "./manifest.ts";

/**
 * Turns the model's output into a mask, height×width, 0–255. With `min-max` (with `sigmoid-min-max`, of the output's
 * sigmoid) it is `(p − min p) / (max p − min p)`; a flat output has no subject and becomes 0 everywhere. Values are
 * truncated to 8 bits, not rounded, as in rembg.
 */
export function postprocess(output: Float32Array, manifest: Manifest): Uint8Array<ArrayBuffer> {
  if (manifest.mask === "sigmoid-min-max") output = output.map((value) => 1 / (1 + Math.exp(-value)));
  const count = output.length;
  using memory = borrowKernels();
  const { run } = memory;
  const values = memory.reserve(4 * count);
  const target = memory.reserve(count);
  const padded = new Float32Array(memory.bytes.buffer, values, wholeVectors(4 * count) / 4);
  padded.set(output);
  // Kernels read whole vectors. Copies of the last value change neither minimum nor maximum.
  padded.fill(output[count - 1], count);
  const stretched = manifest.mask !== "probability";
  const min = stretched ? run.minOf(values, count) : 0;
  const range = (stretched ? run.maxOf(values, count) : 1) - min;
  // Not `range <= 0`, which a range of NaN would pass.
  if (range > 0) run.stretch(values, target, count, min, range);
  return memory.bytes.slice(target, target + count);
}
