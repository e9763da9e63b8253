import type { Mask } from "../base/pixels.ts";
import { decontaminate } from "./matting/decontaminate.ts";
import { recolourForeground } from "./matting/foreground.ts";
import { matteHair } from "./matting/hair.ts";
import { refineAlpha } from "./matting/refine_alpha.ts";
import { matteByTrimap } from "./matting/trimap_matting.ts";
import type { RenderContext } from "./step.ts";

/** Option `matting`: finds alpha along the mask's edges, and removes the old background's colour from the image. */
export function matting(alpha: Mask, context: RenderContext): Mask {
  const { image, maskSize, options } = context;
  if (options.refine) return refine(alpha, context);
  if (options.matting !== "hair") return alpha;
  const data = matteHair(image, alpha.data, maskSize);
  if (data === undefined) return refine(alpha, context);
  if (data !== alpha.data) recolourForeground(image, data);
  return { ...alpha, data };
}

function refine(alpha: Mask, { image, maskSize }: RenderContext): Mask {
  const data = refineAlpha(image, alpha.data, maskSize);
  decontaminate(image, data, maskSize);
  return { ...alpha, data };
}

/**
 * rembg's alpha matting and decontamination. They come after the mask's post-processing there, so they are a step of their
 * own. Without a subject or a background, rembg falls back from the first to the second.
 */
export function rembgMatting(alpha: Mask, { image, options }: RenderContext): Mask {
  const { rembg } = options;
  if (rembg === undefined) return alpha;
  const data = (rembg.trimap && matteByTrimap(image, alpha.data, rembg.trimap)) ?? alpha.data;
  recolourForeground(image, data);
  return { ...alpha, data };
}
