import { KernelMemory, wholeVectors } from "./kernels.ts";
import type { Manifest } from "./manifest.ts";
import { resampleColours } from "./resample.ts";

/** A decoded image: `data` is height×width×4, RGBA, 0–255, colours not multiplied by alpha, upright. */
export interface Pixels {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** How much of each pixel belongs to the subject: `data` is height×width, 0 (background) to 255. */
export interface Mask {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/**
 * The model's input for an image: 1×3×height×width float32 (channels first), `(x / scale − mean) / std`. The image is
 * squeezed to the input's size whatever its proportions, as in training; its alpha is ignored.
 */
export function preprocess(image: Pixels, manifest: Manifest): Float32Array<ArrayBuffer> {
  const { width, height } = manifest.input;
  const { scale, mean, std } = manifest.normalisation;
  const memory = new KernelMemory();
  const { run } = memory;
  const { address, rowLength } = resampleColours(memory, image, width, height);
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

/**
 * The model's output as a mask, height×width. With `min-max` (of the sigmoid with `sigmoid-min-max`),
 * `(p − min p) / (max p − min p)`; a flat output has no subject and becomes 0 everywhere. Values are cut, not rounded, to 8
 * bits, as rembg does.
 */
export function postprocess(output: Float32Array, manifest: Manifest): Uint8Array<ArrayBuffer> {
  if (manifest.mask === "sigmoid-min-max") output = output.map((value) => 1 / (1 + Math.exp(-value)));
  const count = output.length;
  const memory = new KernelMemory();
  const { run } = memory;
  const values = memory.reserve(4 * count);
  const to = memory.reserve(count);
  const filledUp = new Float32Array(memory.bytes.buffer, values, wholeVectors(4 * count) / 4);
  filledUp.set(output);
  // What fills up the last vector is the last value, which changes neither end.
  filledUp.fill(output[count - 1], count);
  const stretched = manifest.mask !== "probability";
  const low = stretched ? run.least(values, count) : 0;
  const range = (stretched ? run.greatest(values, count) : 1) - low;
  // Not `range <= 0`: a range that is not a number must end here too.
  if (range > 0) run.stretch(values, to, count, low, range);
  return memory.bytes.slice(to, to + count);
}
