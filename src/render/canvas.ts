import { ImageError } from "../base/errors.ts";
import type { Box, Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import { cropTo, onCanvas, resizeTo, visibleBox } from "./geometry.ts";
import type { Position, RenderOptions } from "./options.ts";
import type { Canvas } from "./sizes.ts";
import { fit } from "./resize.ts";
import type { RenderContext } from "./step.ts";

/**
 * Options `canvas`, `fill` and `position`: scales the subject to its share of a new canvas, which may reach beyond the
 * photograph, and puts it in its place there.
 * @throws {ImageError} `image_too_large`, before the canvas is made.
 */
export function canvas(cutout: Pixels, { options, maxPixels }: RenderContext): Pixels {
  if (options.canvas === undefined) return cutout;
  const box = visibleBox(cutout);
  // Without a subject, the canvas stays empty.
  const subject = box ?? { left: 0, top: 0, width: cutout.width, height: cutout.height };
  const size = sizeOf(options.canvas, subject, options);
  if (size.width * size.height > maxPixels) {
    throw new ImageError(
      "image_too_large",
      `the canvas would have ${size.width}×${size.height} = ${
        size.width * size.height
      } pixels; at most ${maxPixels} are ` +
        "allowed: choose a smaller one",
    );
  }
  if (box === undefined) return { ...size, data: new Uint8Array(size.width * size.height * 4) };
  const scale = options.canvas.fill * Math.min(size.width / box.width, size.height / box.height);
  const scaled = resizeTo(cropTo(cutout, box), {
    width: Math.max(1, Math.min(size.width, Math.round(box.width * scale))),
    height: Math.max(1, Math.min(size.height, Math.round(box.height * scale))),
  });
  const { x, y } = shareOf(options.position, box, cutout);
  return onCanvas(scaled, { left: x * (size.width - scaled.width), top: y * (size.height - scaled.height) }, size);
}

/**
 * A canvas without a size of its own is just large enough for the subject to keep its size, or as large as `size` says.
 * This is rounded only once, so that the result has exactly the size that was asked for.
 */
function sizeOf(canvas: Canvas, subject: Size, { size, upscale }: RenderOptions): Size {
  if ("width" in canvas) return { width: canvas.width, height: canvas.height };
  const wanted = Math.max(subject.width, subject.height * canvas.ratio) / canvas.fill;
  const exact = { width: wanted, height: wanted / canvas.ratio };
  const { width, height } = size === undefined ? exact : fit(exact, size, upscale);
  return { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) };
}

/** How much of the free space is to the left of the subject and above it. */
function shareOf(position: Position | undefined, { left, top, width, height }: Box, image: Size) {
  if (position === undefined) return { x: 0.5, y: 0.5 };
  if (position !== "original") return position;
  const share = (before: number, free: number) => free === 0 ? 0.5 : before / free;
  return { x: share(left, image.width - width), y: share(top, image.height - height) };
}
