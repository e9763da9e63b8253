import { ImageError } from "./errors.ts";
import { decontaminate, refineAlpha } from "./refine.ts";
import type { Bounds, HexColour, Margin, RenderOptions } from "./render_options.ts";
import { openByCross } from "./smooth.ts";
import { resampleGray, resampleRgba } from "./resample.ts";
import type { Mask, Pixels } from "./steps.ts";

/** A rectangle of pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Alpha from which on a pixel belongs to the subject's box, of 255: masks are seldom quite empty. */
const VISIBLE = 13;

/** As rembg has them (`post_process` of its bg.py): the standard deviation, in pixels, and the least alpha that stays. */
const SMOOTH = { sigma: 2, middle: 127 };

/**
 * Makes an image and its mask into what the options ask for; `image` is used up. With `channels: "alpha"`, the alpha of
 * that is in the result's alpha.
 * @throws {ImageError} `image_too_large` where the result would have more than `maxPixels` pixels.
 */
export function compose(
  image: Pixels,
  mask: Mask,
  options: RenderOptions,
  { maxPixels }: { maxPixels: number },
): Pixels {
  let alpha = resampleGray(mask.data, mask.width, mask.height, image.width, image.height);
  if (options.refine) {
    alpha = refineAlpha(image, alpha, mask);
    // Before feathering: feathered pixels would be unmixed with an alpha that is not theirs.
    decontaminate(image, alpha, mask);
  }
  if (options.smooth) {
    alpha = blur(openByCross(alpha, image.width, image.height), image.width, image.height, SMOOTH.sigma);
    for (let i = 0; i < alpha.length; i++) alpha[i] = alpha[i] < SMOOTH.middle ? 0 : 255;
  }
  if (options.threshold !== undefined) {
    for (let i = 0; i < alpha.length; i++) alpha[i] = alpha[i] >= options.threshold ? 255 : 0;
  }
  if (options.feather > 0) alpha = blur(alpha, image.width, image.height, options.feather);
  let result = cutOut(image, alpha);
  if (options.crop) result = cropTo(result, withMargin(subjectBox(result), options.margin, result));
  if (options.size !== undefined) {
    const { width, height } = fit(result, options.size, options.upscale);
    if (width * height > maxPixels) {
      throw new ImageError(
        "image_too_large",
        `the result would be ${width}×${height}; at most ${maxPixels} pixels are made`,
      );
    }
    if (width !== result.width || height !== result.height) {
      result = { data: resampleRgba(result.data, result.width, result.height, width, height), width, height };
    }
  }
  if (options.channels === "alpha") return result;
  if (options.background !== undefined) putOn(result, options.background);
  else clearHidden(result);
  return result;
}

/** Gives the image this alpha, times its own. Colours stay straight, so that edges carry no dark fringe. */
function cutOut(image: Pixels, alpha: Uint8Array): Pixels {
  const { data } = image;
  for (let i = 0, at = 3; i < alpha.length; i++, at += 4) {
    data[at] = data[at] === 255 ? alpha[i] : Math.round((alpha[i] * data[at]) / 255);
  }
  return image;
}

/**
 * Removes the colour where a pixel and all its neighbours are fully transparent: a background that is merely invisible
 * has not been removed, and nothing compresses as well. The pixels beside the subject keep theirs, for programs that
 * scale colours without regard to alpha.
 */
function clearHidden({ data, width, height }: Pixels): void {
  const words = new Uint32Array(data.buffer, data.byteOffset, width * height);
  // Rows of alpha, taken before it is cleared; the image goes on for ever in its outermost pixels.
  const rowAt = (y: number) => {
    const row = new Uint8Array(width);
    const from = Math.min(height - 1, Math.max(0, y)) * width;
    for (let x = 0; x < width; x++) row[x] = data[(from + x) * 4 + 3];
    return row;
  };
  let [above, here] = [rowAt(0), rowAt(0)];
  for (let y = 0; y < height; y++) {
    const below = rowAt(y + 1);
    // Whether anything is visible in the column of three pixels at the left, in the middle and at the right.
    let left = 0;
    let middle = above[0] | here[0] | below[0];
    for (let x = 0; x < width; x++) {
      const right = x + 1 < width ? above[x + 1] | here[x + 1] | below[x + 1] : 0;
      if ((left | middle | right) === 0) words[y * width + x] = 0;
      left = middle;
      middle = right;
    }
    [above, here] = [here, below];
  }
}

/** The smallest box around everything visible; the whole image where nothing is. */
export function subjectBox({ data, width, height }: Pixels): Box {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0, at = 3; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      if (data[at] < VISIBLE) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  if (right < 0) return { left: 0, top: 0, width, height };
  return { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** The box with space around it, as far as the image goes. */
function withMargin(box: Box, margin: Margin | undefined, image: Pixels): Box {
  if (margin === undefined) return box;
  const space = "pixels" in margin ? margin.pixels : Math.round(Math.max(box.width, box.height) * margin.part);
  const left = Math.max(0, box.left - space);
  const top = Math.max(0, box.top - space);
  return {
    left,
    top,
    width: Math.min(image.width, box.left + box.width + space) - left,
    height: Math.min(image.height, box.top + box.height + space) - top,
  };
}

function cropTo(image: Pixels, { left, top, width, height }: Box): Pixels {
  if (width === image.width && height === image.height) return image;
  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 4;
    data.set(image.data.subarray(from, from + width * 4), y * width * 4);
  }
  return { data, width, height };
}

/** The largest size of the same proportions within the bounds; never larger than it is, unless `upscale`. */
export function fit(
  { width, height }: { width: number; height: number },
  bounds: Bounds,
  upscale: boolean,
): { width: number; height: number } {
  const scale = "pixels" in bounds
    ? Math.sqrt(bounds.pixels / (width * height))
    : Math.min((bounds.width ?? Infinity) / width, (bounds.height ?? Infinity) / height);
  if (scale >= 1 && !upscale) return { width, height };
  // Not rounded up: a result of 0.25 megapixels must not have 250,001 pixels.
  const side = "pixels" in bounds ? Math.floor : Math.round;
  return { width: Math.max(1, side(width * scale)), height: Math.max(1, side(height * scale)) };
}

/** Puts the image on a colour, in place ("over" of Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984). */
function putOn({ data }: Pixels, background: HexColour): void {
  const [red, green, blue, opacity] = Uint8Array.fromHex(background);
  for (let at = 0; at < data.length; at += 4) {
    const front = data[at + 3] / 255;
    const back = (opacity / 255) * (1 - front);
    const alpha = front + back;
    if (alpha === 0) {
      data.fill(0, at, at + 4);
      continue;
    }
    data[at] = Math.round((data[at] * front + red * back) / alpha);
    data[at + 1] = Math.round((data[at + 1] * front + green * back) / alpha);
    data[at + 2] = Math.round((data[at + 2] * front + blue * back) / alpha);
    data[at + 3] = Math.round(alpha * 255);
  }
}

/**
 * A Gaussian blur of one channel, height×width, in a time that does not depend on `sigma`, the standard deviation in
 * pixels: three extended box filters (P. Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box
 * Filtering", SSVM 2011), whose ends count in part, so that the variance is just what is asked for.
 */
export function blur(channel: Uint8Array, width: number, height: number, sigma: number): Uint8Array<ArrayBuffer> {
  const PASSES = 3;
  const variance = (sigma * sigma) / PASSES;
  const radius = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const size = 2 * radius + 1;
  const squares = (radius * (radius + 1) * size) / 3;
  const ends = (variance * size - squares) / (2 * ((radius + 1) ** 2 - variance));
  let values = Float32Array.from(channel);
  for (let pass = 0; pass < PASSES; pass++) {
    values = boxBlur(values, { length: width, lines: height, step: 1, lineStep: width, radius, ends });
    values = boxBlur(values, { length: height, lines: width, step: width, lineStep: 1, radius, ends });
  }
  return new Uint8Array(Uint8ClampedArray.from(values).buffer);
}

/**
 * Means along lines over `2 × radius + 1` values and, counting `ends` times each, the two next to them; beyond a line's
 * ends its outermost values go on.
 */
function boxBlur(
  values: Float32Array<ArrayBuffer>,
  { length, lines, step, lineStep, radius, ends }: Record<
    "length" | "lines" | "step" | "lineStep" | "radius" | "ends",
    number
  >,
): Float32Array<ArrayBuffer> {
  const output = new Float32Array(values.length);
  const weight = 1 / (2 * radius + 1 + 2 * ends);
  for (let line = 0; line < lines; line++) {
    const first = line * lineStep;
    const at = (i: number) => values[first + Math.min(length - 1, Math.max(0, i)) * step];
    let sum = 0;
    for (let i = -radius; i <= radius; i++) sum += at(i);
    for (let i = 0; i < length; i++) {
      const after = at(i + radius + 1);
      output[first + i * step] = (sum + ends * (at(i - radius - 1) + after)) * weight;
      sum += after - at(i - radius);
    }
  }
  return output;
}
