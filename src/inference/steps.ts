import type { Manifest } from "./manifest.ts";
import { resampleRgb } from "./resample.ts";

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
  const { input, normalisation } = manifest;
  const rgb = resampleRgb(image.data, image.width, image.height, input.width, input.height);
  let scale = 255;
  if (normalisation.scale === "max") {
    scale = 0;
    for (const value of rgb) if (value > scale) scale = value;
    // An all-black image has no largest value to divide by.
    if (scale === 0) scale = 1;
  }
  const area = input.width * input.height;
  const tensor = new Float32Array(3 * area);
  for (let channel = 0; channel < 3; channel++) {
    const mean = normalisation.mean[channel];
    const std = normalisation.std[channel];
    for (let i = 0, from = channel, to = channel * area; i < area; i++, from += 3) {
      tensor[to++] = (rgb[from] / scale - mean) / std;
    }
  }
  return tensor;
}

/**
 * The model's output as a mask, height×width. With `min-max` (of the sigmoid with `sigmoid-min-max`), `(p − min p) / (max p − min p)`; a flat output has no
 * subject and becomes 0 everywhere. Values are cut, not rounded, to 8 bits, as rembg does.
 */
export function postprocess(output: Float32Array, manifest: Manifest): Uint8Array<ArrayBuffer> {
  let low = 0;
  let high = 1;
  if (manifest.mask === "sigmoid-min-max") output = output.map((value) => 1 / (1 + Math.exp(-value)));
  if (manifest.mask !== "probability") {
    low = Infinity;
    high = -Infinity;
    for (const value of output) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const range = high - low;
  const mask = new Uint8ClampedArray(output.length);
  // Not `range <= 0`: a range that is not a number must end here too.
  if (range > 0) {
    for (let i = 0; i < output.length; i++) mask[i] = Math.floor(((output[i] - low) / range) * 255);
  }
  return new Uint8Array(mask.buffer);
}
