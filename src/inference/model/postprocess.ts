import { borrowKernels, wholeVectors } from "../../image/kernels.ts";
import type { Manifest } from "./manifest.ts";

/**
 * The model's output as a mask, height×width. With `min-max` (of the sigmoid with `sigmoid-min-max`),
 * `(p − min p) / (max p − min p)`; a flat output has no subject and becomes 0 everywhere. Values are cut, not rounded, to 8
 * bits, as rembg does.
 */
export function postprocess(output: Float32Array, manifest: Manifest): Uint8Array<ArrayBuffer> {
  if (manifest.mask === "sigmoid-min-max") output = output.map((value) => 1 / (1 + Math.exp(-value)));
  const count = output.length;
  using memory = borrowKernels();
  const { run } = memory;
  const values = memory.reserve(4 * count);
  const to = memory.reserve(count);
  const filledUp = new Float32Array(memory.bytes.buffer, values, wholeVectors(4 * count) / 4);
  filledUp.set(output);
  // What fills up the last vector is the last value, which changes neither end.
  filledUp.fill(output[count - 1], count);
  const stretched = manifest.mask !== "probability";
  const low = stretched ? run.minOf(values, count) : 0;
  const range = (stretched ? run.maxOf(values, count) : 1) - low;
  // Not `range <= 0`: a range that is not a number must end here too.
  if (range > 0) run.stretch(values, to, count, low, range);
  return memory.bytes.slice(to, to + count);
}
