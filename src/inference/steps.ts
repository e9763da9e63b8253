import type { Manifest } from "./manifest.ts";
import { resampleGray, resampleRgb } from "./resample.ts";

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
 * The model's output as a mask, height×width. With `min-max`, `(p − min p) / (max p − min p)`; a flat output has no
 * subject and becomes 0 everywhere. Values are cut, not rounded, to 8 bits, as rembg does.
 */
export function postprocess(output: Float32Array, manifest: Manifest): Uint8Array<ArrayBuffer> {
  let low = 0;
  let high = 1;
  if (manifest.mask === "min-max") {
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

/**
 * Makes `image` its own cutout, in place: alpha becomes mask × alpha. Colours stay straight, so that edges carry no dark
 * fringe; only where a pixel and all its neighbours are fully transparent is the colour removed, since a background that
 * is merely invisible has not been removed, and nothing compresses as well.
 */
export function cutOut(image: Pixels, mask: Mask): void {
  const { data, width, height } = image;
  const alpha = resampleGray(mask.data, mask.width, mask.height, width, height);
  for (let i = 0, at = 3; i < alpha.length; i++, at += 4) {
    if (data[at] !== 255) alpha[i] = Math.round((alpha[i] * data[at]) / 255);
    data[at] = alpha[i];
  }
  const words = new Uint32Array(data.buffer, data.byteOffset, alpha.length);
  for (let y = 0; y < height; y++) {
    const above = Math.max(0, y - 1) * width;
    const below = Math.min(height - 1, y + 1) * width;
    // `left` and `middle` say whether anything is visible in the column of three pixels there.
    let left = 0;
    let middle = alpha[above] | alpha[y * width] | alpha[below];
    for (let x = 0; x < width; x++) {
      const right = x + 1 < width ? alpha[above + x + 1] | alpha[y * width + x + 1] | alpha[below + x + 1] : 0;
      if ((left | middle | right) === 0) words[y * width + x] = 0;
      left = middle;
      middle = right;
    }
  }
}
