import type { Box, Layout } from "../base/layout.ts";
import type { Mask, Pixels } from "../base/pixels.ts";
import { release } from "../base/release.ts";
import { resampleGray } from "../image/resample.ts";
import { visibleBox } from "./geometry.ts";
import type { RenderOptions } from "./options.ts";
import { background } from "./background.ts";
import { canvas } from "./canvas.ts";
import { clearHidden } from "./clear_hidden.ts";
import { crop } from "./crop.ts";
import { cutOut } from "./cut_out.ts";
import { feather } from "./feather.ts";
import { matting, rembgMatting } from "./matting.ts";
import { place } from "./place.ts";
import { resize } from "./resize.ts";
import { regionOfInterest } from "./roi.ts";
import { shadow } from "./shadow.ts";
import { smooth } from "./smooth.ts";
import { solid } from "./solid.ts";
import type { RenderContext, Step } from "./step.ts";
import { threshold } from "./threshold.ts";

/**
 * First phase: steps that change alpha, at the image's size. `matting` comes first, because it would unmix colours wrongly
 * by an alpha that other steps have changed; rembg has its own after `smooth`.
 */
const alphaSteps: readonly Step<Mask>[] = [matting, smooth, rembgMatting, threshold, solid, feather, regionOfInterest];

/** Second phase: steps that change the pixels of the cutout: its size and the subject's place in it … */
const layoutSteps: readonly Step<Pixels>[] = [place, crop, canvas, resize];

/** … then what is behind the subject. */
const backgroundSteps: readonly Step<Pixels>[] = [shadow, background, clearHidden];

/** Pixels, and the subject's place in them. */
export type Composed = Pixels & Layout;

const NOWHERE: Box = { left: 0, top: 0, width: 0, height: 0 };

/**
 * Renders an image with its mask as the options say. Uses up `image`: its pixels are changed or become the result's.
 * With `channels: "alpha"`, the result is the alpha of the pixels returned.
 * @param picture the background picture, at any size.
 * @throws {ImageError} `image_too_large` if the result would have more than `maxPixels` pixels, `roi_exceeds_bounds`,
 * `roi_region_empty`.
 */
export function compose(
  image: Pixels,
  mask: Mask,
  options: RenderOptions,
  { maxPixels }: { maxPixels: number },
  picture?: Pixels,
): Composed {
  const context: RenderContext = { image, maskSize: mask, options, maxPixels, picture };
  const { width, height } = image;
  const upsampled = resampleGray(mask.data, mask.width, mask.height, width, height);
  const alpha = run(alphaSteps, { data: upsampled, width, height }, context);
  const cutout = cutOut(image, alpha);
  release(alpha.data);
  const laidOut = run(layoutSteps, cutout, context);
  // Before there is a background, because then every pixel may be visible.
  const foreground = visibleBox(laidOut) ?? NOWHERE;
  const result = options.channels === "alpha" ? laidOut : run(backgroundSteps, laidOut, context);
  return { ...result, foreground };
}

/** Runs the steps in order; each returns its input unchanged if the options do not ask for it. */
function run<Input>(steps: readonly Step<Input>[], input: Input, context: RenderContext): Input {
  return steps.reduce((current, step) => step(current, context), input);
}
