import { ImageError } from "../base/errors.ts";
import type { Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import { resizeTo } from "./geometry.ts";
import type { RenderOptions } from "./options.ts";
import type { Bounds } from "./sizes.ts";
import type { RenderContext } from "./step.ts";

/**
 * Options `size` and `upscale`: fits the cutout into a size.
 * @throws {ImageError} `image_too_large`, before the result is made.
 */
export function resize(cutout: Pixels, { image, options, maxPixels }: RenderContext): Pixels {
  if (options.size === undefined) return cutout;
  const size = fit(image.fullSize ?? cutout, options.size, options.upscale);
  if (size.width * size.height > maxPixels) {
    throw new ImageError(
      "image_too_large",
      `the result would have ${size.width}×${size.height} = ${size.width * size.height} pixels; at most ${maxPixels} ` +
        "are allowed: choose a smaller size",
    );
  }
  return resizeTo(cutout, size);
}

/**
 * The size at which an image of a size is large enough to be rendered; undefined if only its own is: another option than
 * `size` counts in its pixels, or the result is larger than half of it.
 */
export function enoughToRender(size: Size, options: RenderOptions): Size | undefined {
  const { refine, matting, rembg, smooth, feather, roi, crop, scale, position, canvas } = options;
  const countsPixels = refine || smooth || feather > 0 || crop ||
    [matting, rembg, roi, scale, position, canvas].some((value) => value !== undefined);
  if (options.size === undefined || countsPixels) return undefined;
  const result = fit(size, options.size, options.upscale);
  return result.width * 2 <= size.width && result.height * 2 <= size.height ? result : undefined;
}

/** The largest size with the same proportions within the bounds; not larger than `size` itself unless `upscale` is set. */
export function fit({ width, height }: Size, bounds: Bounds, upscale: boolean): Size {
  const scale = "pixels" in bounds
    ? Math.sqrt(bounds.pixels / (width * height))
    : Math.min((bounds.width ?? Infinity) / width, (bounds.height ?? Infinity) / height);
  if (scale >= 1 && !upscale) return { width, height };
  // Rounded down: a result of 0.25 megapixels must not have 250,001 pixels.
  const round = "pixels" in bounds ? Math.floor : Math.round;
  return { width: Math.max(1, round(width * scale)), height: Math.max(1, round(height * scale)) };
}
