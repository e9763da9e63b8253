/* Boxes and sizes of pixels, and the parts of images that they describe. */
import { ImageError } from "../base/errors.ts";
import type { Box, Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import { borrowKernels } from "../image/kernels.ts";
import { resampleRgba } from "../image/resample.ts";
import type { Length, Region } from "./options.ts";

/** A pixel with at least this alpha (of 255) is visible. Not 1, because masks are seldom 0 all over the background. */
export const MIN_VISIBLE_ALPHA = 13;

/** The smallest box around all visible pixels; undefined if there are none. */
export function visibleBox({ data, width, height }: Pixels): Box | undefined {
  using memory = borrowKernels();
  const row = memory.reserve(width * 4);
  const { bytes, run } = memory;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    const first = run.firstVisible(row, width, MIN_VISIBLE_ALPHA);
    if (first === width) continue;
    if (top === height) top = y;
    bottom = y;
    left = Math.min(left, first);
    right = Math.max(right, run.lastVisible(row, width, MIN_VISIBLE_ALPHA));
  }
  return right < 0 ? undefined : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/**
 * The box of a region in an image.
 * @throws {ImageError} `roi_exceeds_bounds`, `roi_region_empty`.
 */
export function regionBox([left, top, right, bottom]: Region, { width, height }: Size): Box {
  const [x1, x2] = [inPixels(left, width), inPixels(right, width)];
  const [y1, y2] = [inPixels(top, height), inPixels(bottom, height)];
  const region = `the region of interest, "${x1}px ${y1}px ${x2}px ${y2}px",`;
  if (Math.max(x1, x2) > width || Math.max(y1, y2) > height) {
    throw new ImageError(
      "roi_exceeds_bounds",
      `${region} must lie within the image, which is ${width}×${height} pixels`,
    );
  }
  if (x2 <= x1 || y2 <= y1) {
    throw new ImageError(
      "roi_region_empty",
      `${region} has no pixels: its second corner must lie to the right of and below the first`,
    );
  }
  return { left: x1, top: y1, width: x2 - x1, height: y2 - y1 };
}

/** A length in pixels; `whole` is what a length in percent refers to. */
export function inPixels(length: Length, whole: number): number {
  return "pixels" in length ? length.pixels : Math.round(whole * length.part);
}

/** The part of an image in a box, which must lie within the image. */
export function cropTo(image: Pixels, { left, top, width, height }: Box): Pixels {
  if (width === image.width && height === image.height) return image;
  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 4;
    data.set(image.data.subarray(from, from + width * 4), y * width * 4);
  }
  return { data, width, height };
}

/** The image resampled to another size. */
export function resizeTo(image: Pixels, { width, height }: Size): Pixels {
  if (width === image.width && height === image.height) return image;
  return { data: resampleRgba(image.data, image.width, image.height, width, height), width, height };
}

/** A transparent canvas of a size with an image on it, at a place that is rounded to whole pixels. */
export function onCanvas(image: Pixels, place: { left: number; top: number }, { width, height }: Size): Pixels {
  const [left, top] = [Math.round(place.left), Math.round(place.top)];
  const data = new Uint8Array(width * height * 4);
  const rowLength = image.width * 4;
  for (let row = 0; row < image.height; row++) {
    const from = row * rowLength;
    data.set(image.data.subarray(from, from + rowLength), ((top + row) * width + left) * 4);
  }
  return { data, width, height };
}
