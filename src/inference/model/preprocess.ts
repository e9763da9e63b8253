import type { Pixels } from "../../base/pixels.ts";
import { NEUTRAL_GRAY } from "../../image/decode.ts";
import { borrowKernels } from "../../image/kernels.ts";
import { resampleColours } from "../../image/resample.ts";
import type { Manifest } from "./manifest.ts";

/**
 * Turns an image into the model's input: 1×3×height×width float32 (channels first), `(x / scale − mean) / std`. The image
 * is resized to the input's size without keeping its proportions, as in training; transparent pixels lie on
 * {@link NEUTRAL_GRAY}.
 */
export function preprocess(image: Pixels, manifest: Manifest): Float32Array<ArrayBuffer> {
  const { width, height } = manifest.input;
  const { scale, mean, std } = manifest.normalisation;
  using memory = borrowKernels();
  const { run } = memory;
  const { address, rowLength } = resampleColours(memory, image, width, height, NEUTRAL_GRAY);
  // The largest value of an all-black image is 0.
  const divisor = scale === "max" ? run.maxColour(address, height * rowLength) || 1 : 255;
  // What each 8-bit value becomes, by channel.
  const normalised = new Float32Array(3 * 256);
  for (let i = 0; i < normalised.length; i++) {
    const channel = i >> 8;
    normalised[i] = ((i & 255) / divisor - mean[channel]) / std[channel];
  }
  const tables = memory.place(normalised);
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
