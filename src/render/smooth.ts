import type { Mask } from "../base/pixels.ts";
import { blur } from "./blur.ts";
import type { RenderContext } from "./step.ts";
import { harden } from "./threshold.ts";

/** The values of rembg (`post_process` in its bg.py): the blur's standard deviation in pixels, and the minimum alpha kept. */
const SIGMA = 2;
const MIN_ALPHA = 127;

/** Option `smooth`: removes specks and hairs, then makes the edge smooth and hard, like rembg's post-processing. */
export function smooth(alpha: Mask, { options }: RenderContext): Mask {
  if (!options.smooth) return alpha;
  const { width, height } = alpha;
  const data = blur(openByCross(alpha.data, width, height), width, height, SIGMA);
  harden(data, MIN_ALPHA);
  return { data, width, height };
}

/**
 * Morphological opening by a 3×3 cross: removes everything thinner, such as specks and hairs (Serra, Image Analysis and
 * Mathematical Morphology, 1982). Pixels beyond the image's border are ignored.
 * @param alpha height×width, 0–255.
 */
function openByCross(alpha: Uint8Array, width: number, height: number): Uint8Array<ArrayBuffer> {
  return extremes(extremes(alpha, width, height, Math.min), width, height, Math.max);
}

/** The minimum or maximum of each pixel and its four neighbours. */
function extremes(
  values: Uint8Array,
  width: number,
  height: number,
  of: (a: number, b: number) => number,
): Uint8Array<ArrayBuffer> {
  const output = new Uint8Array(values.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      let value = values[i];
      if (x > 0) value = of(value, values[i - 1]);
      if (x < width - 1) value = of(value, values[i + 1]);
      if (y > 0) value = of(value, values[i - width]);
      if (y < height - 1) value = of(value, values[i + width]);
      output[i] = value;
    }
  }
  return output;
}
