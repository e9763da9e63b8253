import { ImageError } from "../base/errors.ts";
import { release } from "../base/release.ts";
import {
  cover,
  cropTo,
  fit,
  place,
  regionBox,
  resize,
  subjectBox,
  VISIBLE,
  visibleBox,
  withMargin,
} from "./geometry.ts";
import { type Box, type Layout } from "../base/layout.ts";
import { KernelMemory, wholeVectors } from "../image/kernels.ts";
import { decontaminate, refineAlpha } from "./refine.ts";
import type { RenderOptions } from "./options.ts";
import { resampleGray } from "../image/resample.ts";
import { openByCross } from "./smooth.ts";
import type { Mask, Pixels } from "../base/pixels.ts";

/** Pixels, and where in them the subject is. */
export type Composed = Pixels & Layout;

const NOWHERE: Box = { left: 0, top: 0, width: 0, height: 0 };

/** As rembg has them (`post_process` of its bg.py): the standard deviation, in pixels, and the least alpha that stays. */
const SMOOTH = { sigma: 2, middle: 127 };

/**
 * Makes an image and its mask into what the options ask for; `image` is used up. With `channels: "alpha"`, the alpha of
 * that is in the result's alpha.
 * @param picture what the subject is put on, of any size.
 * @throws {ImageError} `image_too_large` where the result would have more than `maxPixels` pixels, and as
 * {@link regionBox} does.
 */
export function compose(
  image: Pixels,
  mask: Mask,
  options: RenderOptions,
  { maxPixels }: { maxPixels: number },
  picture?: Pixels,
): Composed {
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
  if (options.solid) solidify(alpha, image.width, image.height);
  if (options.feather > 0) alpha = blur(alpha, image.width, image.height, options.feather);
  if (options.roi !== undefined) clearOutside(alpha, image.width, regionBox(options.roi, image));
  let result = cutOut(image, alpha);
  release(alpha);
  if (options.scale !== undefined || options.position !== undefined) result = place(result, options);
  if (options.crop) result = cropTo(result, withMargin(subjectBox(result), options.margin, result));
  if (options.size !== undefined) {
    const size = fit(result, options.size, options.upscale);
    if (size.width * size.height > maxPixels) {
      throw new ImageError(
        "image_too_large",
        `the result would be ${size.width}×${size.height}; at most ${maxPixels} pixels are made`,
      );
    }
    result = resize(result, size);
  }
  // Before anything is behind the subject: then every pixel may be visible.
  const composed = { ...result, foreground: visibleBox(result) ?? NOWHERE };
  if (options.channels === "alpha") return composed;
  if (picture !== undefined) putOn(result, { colours: cover(picture, result).data, step: 4 });
  if (options.background !== undefined) putOn(result, { colours: Uint8Array.fromHex(options.background), step: 0 });
  if (picture === undefined && options.background === undefined) clearHidden(result);
  return composed;
}

/** How wide an edge is taken to be, of the image's larger side: four pixels of a mask of 320. */
const EDGE = 1 / 80;

/** Makes opaque, in place, what is visible and further from everything invisible than an edge is wide. */
function solidify(alpha: Uint8Array, width: number, height: number): void {
  const reach = Math.ceil(Math.max(width, height) * EDGE);
  const invisible = alpha.map((value) => value < VISIBLE ? 1 : 0);
  const across = spread(invisible, { length: width, lines: height, step: 1, lineStep: width, reach });
  const near = spread(across, { length: height, lines: width, step: width, lineStep: 1, reach });
  for (let i = 0; i < alpha.length; i++) if (near[i] === 0) alpha[i] = 255;
}

/** Flags along lines, each with its neighbours up to `reach` away. */
function spread(
  flags: Uint8Array,
  { length, lines, step, lineStep, reach }: Record<"length" | "lines" | "step" | "lineStep" | "reach", number>,
): Uint8Array {
  const output = new Uint8Array(flags.length);
  for (let line = 0; line < lines; line++) {
    const at = (i: number) => line * lineStep + i * step;
    for (let i = 0, last = -Infinity; i < length; i++) {
      if (flags[at(i)]) last = i;
      if (i - last <= reach) output[at(i)] = 1;
    }
    for (let i = length - 1, last = Infinity; i >= 0; i--) {
      if (flags[at(i)]) last = i;
      if (last - i <= reach) output[at(i)] = 1;
    }
  }
  return output;
}

/** Makes alpha, height×width, 0 but for the box. */
function clearOutside(alpha: Uint8Array, width: number, box: Box): void {
  alpha.fill(0, 0, box.top * width);
  alpha.fill(0, (box.top + box.height) * width);
  for (let y = box.top; y < box.top + box.height; y++) {
    alpha.fill(0, y * width, y * width + box.left);
    alpha.fill(0, y * width + box.left + box.width, (y + 1) * width);
  }
}

/** Gives the image this alpha, times its own. Colours stay straight, so that edges carry no dark fringe. */
function cutOut(image: Pixels, alpha: Uint8Array): Pixels {
  const { data, width, height } = image;
  const memory = new KernelMemory();
  const row = memory.reserve(width * 4 + 16);
  const alphas = memory.reserve(width + 16);
  const { bytes, run } = memory;
  const result = bytes.subarray(row, row + width * 4);
  for (let y = 0; y < height; y++) {
    const at = y * width * 4;
    bytes.set(data.subarray(at, at + width * 4), row);
    bytes.set(alpha.subarray(y * width, (y + 1) * width), alphas);
    run.cutOutRow(row, alphas, width);
    data.set(result, at);
  }
  return image;
}

/**
 * Removes the colour where a pixel and all its neighbours are fully transparent: a background that is merely invisible
 * has not been removed, and nothing compresses as well. The pixels beside the subject keep theirs, for programs that
 * scale colours without regard to alpha.
 */
function clearHidden({ data, width, height }: Pixels): void {
  const memory = new KernelMemory();
  // Three rows, with zeros around them: what is beyond the image is not visible.
  const stride = 16 + wholeVectors(width * 4);
  const above = memory.reserve(3 * stride + 16) + 16;
  const [here, below] = [above + stride, above + 2 * stride];
  const cleared = memory.reserve(width * 4 + 16);
  const { bytes, run } = memory;
  const rowLength = width * 4;
  const result = bytes.subarray(cleared, cleared + rowLength);
  bytes.set(data.subarray(0, rowLength), below);
  for (let y = 0; y < height; y++) {
    bytes.copyWithin(above, here, below + rowLength);
    const next = (y + 1) * rowLength;
    if (y + 1 < height) bytes.set(data.subarray(next, next + rowLength), below);
    else bytes.fill(0, below, below + rowLength);
    run.clearHiddenRow(here, stride, cleared, width);
    data.set(result, y * rowLength);
  }
}

/** What lies behind an image: as many colours (RGBA) as it has pixels, or one with a step of 0. */
interface Backdrop {
  readonly colours: Uint8Array;
  readonly step: 0 | 4;
}

/** Puts the image on a backdrop, in place ("over" of Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984). */
function putOn({ data }: Pixels, { colours, step }: Backdrop): void {
  for (let at = 0, behind = 0; at < data.length; at += 4, behind += step) {
    const front = data[at + 3] / 255;
    const back = (colours[behind + 3] / 255) * (1 - front);
    const alpha = front + back;
    if (alpha === 0) {
      data.fill(0, at, at + 4);
      continue;
    }
    data[at] = Math.round((data[at] * front + colours[behind] * back) / alpha);
    data[at + 1] = Math.round((data[at + 1] * front + colours[behind + 1] * back) / alpha);
    data[at + 2] = Math.round((data[at + 2] * front + colours[behind + 2] * back) / alpha);
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
