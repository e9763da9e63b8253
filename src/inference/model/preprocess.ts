import type { Pixels } from "../../base/pixels.ts";
import { KernelMemory } from "../../image/kernels.ts";
import type { Manifest } from "./manifest.ts";
import { NEUTRAL_GRAY } from "../../image/decode.ts";
import { resampleColours } from "../../image/resample.ts";

/**
 * The model's input for an image: 1×3×height×width float32 (channels first), `(x / scale − mean) / std`. The image is
 * squeezed to the input's size whatever its proportions, as in training; what is transparent lies on {@link NEUTRAL_GRAY}.
 */
export function preprocess(image: Pixels, manifest: Manifest): Float32Array<ArrayBuffer> {
  const { width, height } = manifest.input;
  const { scale, mean, std } = manifest.normalisation;
  const memory = new KernelMemory();
  const { run } = memory;
  const { address, rowLength } = resampleColours(memory, image, width, height, NEUTRAL_GRAY);
  // An all-black image has no largest value to divide by.
  const divisor = scale === "max" ? run.largestColour(address, height * rowLength) || 1 : 255;
  const numbers = new Float32Array(3 * 256);
  for (let i = 0; i < numbers.length; i++) {
    const channel = i >> 8;
    numbers[i] = ((i & 255) / divisor - mean[channel]) / std[channel];
  }
  const tables = memory.place(numbers);
  const planes = memory.reserve(3 * 4 * width);
  const area = width * height;
  const tensor = new Float32Array(3 * area);
  const rows = [0, 1, 2].map((channel) => new Float32Array(memory.bytes.buffer, planes + channel * 4 * width, width));
  for (let y = 0; y < height; y++) {
    run.planesOfRow(address + y * rowLength, planes, width, tables);
    for (let channel = 0; channel < 3; channel++) tensor.set(rows[channel], channel * area + y * width);
  }
  return tensor;
}
