import type { Box, Size } from "../base/layout.ts";
import { ImageError } from "../base/errors.ts";
import { KernelMemory } from "../image/kernels.ts";
import type { Bounds, Length, Margin, Position, Region } from "./options.ts";
import { resampleRgba } from "../image/resample.ts";
import type { Pixels } from "../base/pixels.ts";

/** Alpha from which on a pixel belongs to the subject's box, of 255: masks are seldom quite empty. */
export const VISIBLE = 13;

/** The smallest box around everything visible; undefined where nothing is. */
export function visibleBox({ data, width, height }: Pixels): Box | undefined {
  const memory = new KernelMemory();
  const row = memory.reserve(width * 4);
  const { bytes, run } = memory;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    const first = run.firstVisible(row, width, VISIBLE);
    if (first === width) continue;
    if (top === height) top = y;
    bottom = y;
    left = Math.min(left, first);
    right = Math.max(right, run.lastVisible(row, width, VISIBLE));
  }
  return right < 0 ? undefined : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** The smallest box around everything visible; the whole image where nothing is. */
export function subjectBox(image: Pixels): Box {
  return visibleBox(image) ?? { left: 0, top: 0, width: image.width, height: image.height };
}

/** The box with space around it, as far as the image goes. */
export function withMargin(box: Box, margin: Margin | undefined, image: Size): Box {
  if (margin === undefined) return box;
  const larger = Math.max(box.width, box.height);
  const [above, right, below, left] = (Array.isArray(margin) ? margin : [margin, margin, margin, margin])
    .map((space) => inPixels(space, larger));
  const from = { left: Math.max(0, box.left - left), top: Math.max(0, box.top - above) };
  return {
    ...from,
    width: Math.min(image.width, box.left + box.width + right) - from.left,
    height: Math.min(image.height, box.top + box.height + below) - from.top,
  };
}

/**
 * The region's pixels in an image.
 * @throws {ImageError} `roi_exceeds_bounds`, `roi_region_empty`.
 */
export function regionBox([left, top, right, bottom]: Region, { width, height }: Size): Box {
  const [x1, x2] = [inPixels(left, width), inPixels(right, width)];
  const [y1, y2] = [inPixels(top, height), inPixels(bottom, height)];
  const shown = `"${x1}px ${y1}px ${x2}px ${y2}px" of an image of ${width}×${height}`;
  if (Math.max(x1, x2) > width || Math.max(y1, y2) > height) {
    throw new ImageError("roi_exceeds_bounds", `the region of interest is ${shown}: it must lie within`);
  }
  if (x2 <= x1 || y2 <= y1) {
    throw new ImageError("roi_region_empty", `the region of interest is ${shown}: it has no pixels`);
  }
  return { left: x1, top: y1, width: x2 - x1, height: y2 - y1 };
}

function inPixels(length: Length, whole: number): number {
  return "pixels" in length ? length.pixels : Math.round(whole * length.part);
}

/** The part of an image that lies in a box within it. */
export function cropTo(image: Pixels, { left, top, width, height }: Box): Pixels {
  if (width === image.width && height === image.height) return image;
  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 4;
    data.set(image.data.subarray(from, from + width * 4), y * width * 4);
  }
  return { data, width, height };
}

/** The image at another size. */
export function resize(image: Pixels, { width, height }: Size): Pixels {
  if (width === image.width && height === image.height) return image;
  return { data: resampleRgba(image.data, image.width, image.height, width, height), width, height };
}

/** The largest size of the same proportions within the bounds; never larger than it is, unless `upscale`. */
export function fit({ width, height }: Size, bounds: Bounds, upscale: boolean): Size {
  const scale = "pixels" in bounds
    ? Math.sqrt(bounds.pixels / (width * height))
    : Math.min((bounds.width ?? Infinity) / width, (bounds.height ?? Infinity) / height);
  if (scale >= 1 && !upscale) return { width, height };
  // Not rounded up: a result of 0.25 megapixels must not have 250,001 pixels.
  const side = "pixels" in bounds ? Math.floor : Math.round;
  return { width: Math.max(1, side(width * scale)), height: Math.max(1, side(height * scale)) };
}

/**
 * Puts the subject at another place of a canvas of the image's size, as large as `scale` says: its width or its height,
 * whichever comes first, is that part of the canvas's.
 */
export function place(image: Pixels, { scale, position }: { scale?: number; position?: Position }): Pixels {
  const box = visibleBox(image);
  if (box === undefined) return image;
  const factor = scale === undefined ? 1 : scale * Math.min(image.width / box.width, image.height / box.height);
  const subject = resize(cropTo(image, box), {
    width: Math.max(1, Math.min(image.width, Math.round(box.width * factor))),
    height: Math.max(1, Math.min(image.height, Math.round(box.height * factor))),
  });
  const room = { x: image.width - subject.width, y: image.height - subject.height };
  const { x, y } = position === "original"
    ? {
      x: within(box.left + (box.width - subject.width) / 2, room.x),
      y: within(box.top + (box.height - subject.height) / 2, room.y),
    }
    : { x: room.x * (position?.x ?? 0.5), y: room.y * (position?.y ?? 0.5) };
  const [left, top] = [Math.round(x), Math.round(y)];
  const data = new Uint8Array(image.width * image.height * 4);
  for (let row = 0; row < subject.height; row++) {
    const from = row * subject.width * 4;
    data.set(subject.data.subarray(from, from + subject.width * 4), ((top + row) * image.width + left) * 4);
  }
  return { data, width: image.width, height: image.height };
}

function within(value: number, most: number): number {
  return Math.min(most, Math.max(0, value));
}

/** The middle of a picture, in the proportions of `size` and at that size. */
export function cover(picture: Pixels, size: Size): Pixels {
  const scale = Math.max(size.width / picture.width, size.height / picture.height);
  const width = Math.max(1, Math.min(picture.width, Math.round(size.width / scale)));
  const height = Math.max(1, Math.min(picture.height, Math.round(size.height / scale)));
  const left = Math.floor((picture.width - width) / 2);
  const top = Math.floor((picture.height - height) / 2);
  return resize(cropTo(picture, { left, top, width, height }), size);
}
