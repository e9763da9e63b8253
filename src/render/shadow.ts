import type { Pixels } from "../base/pixels.ts";
import { resampleGray } from "../image/resample.ts";
import { blur } from "./blur.ts";
import { visibleBox } from "./geometry.ts";
import type { RenderContext } from "./step.ts";

/** Lengths are shares of the subject's larger side: how far the shadow lies to the right and below, and its blur (σ). */
const OFFSET_X = 0.015;
const OFFSET_Y = 0.03;
const BLUR = 0.025;

/** The shadow is drawn so small that its blur is this many pixels wide: what blurs needs no more detail. */
const SMALL_BLUR = 4;

/** Option `shadow`: puts a soft black shadow under the subject, in place. Beyond the result's borders there is none. */
export function shadow(cutout: Pixels, { options }: RenderContext): Pixels {
  if (!options.shadow) return cutout;
  const box = visibleBox(cutout);
  if (box === undefined) return cutout;
  const { data, width, height } = cutout;
  const side = Math.max(box.width, box.height);
  const cast = castShadow(cutout, BLUR * side);
  const [dx, dy] = [Math.round(OFFSET_X * side), Math.round(OFFSET_Y * side)];
  const strength = options.shadow_opacity / 100;
  for (let y = dy; y < height; y++) {
    for (let x = dx, at = (y * width + dx) * 4; x < width; x++, at += 4) {
      const opacity = data[at + 3];
      const dark = strength * cast[(y - dy) * width + x - dx];
      if (opacity === 255 || dark < 0.5) continue;
      // The subject over black ("over" of Porter and Duff, 1984): only its own share of the colours remains.
      const alpha = opacity + dark * (1 - opacity / 255);
      const share = opacity / alpha;
      data[at] = Math.round(data[at] * share);
      data[at + 1] = Math.round(data[at + 1] * share);
      data[at + 2] = Math.round(data[at + 2] * share);
      data[at + 3] = Math.round(alpha);
    }
  }
  return cutout;
}

/** The cutout's alpha, blurred by a standard deviation of `sigma` pixels: height×width, 0–255. */
function castShadow({ data, width, height }: Pixels, sigma: number): Uint8Array<ArrayBuffer> {
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = data[i * 4 + 3];
  const scale = Math.min(1, SMALL_BLUR / sigma);
  const [w, h] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  const small = resampleGray(alpha, width, height, w, h);
  return resampleGray(blur(small, w, h, sigma * scale), w, h, width, height);
}
