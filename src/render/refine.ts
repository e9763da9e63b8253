import type { Mask } from "../base/pixels.ts";
import { decontaminate } from "./matting/decontaminate.ts";
import { refineAlpha } from "./matting/refine_alpha.ts";
import type { RenderContext } from "./step.ts";

/** Option `refine`: moves alpha's edges to those of the image, and removes the old background's colour from the image. */
export function refine(alpha: Mask, { image, maskSize, options }: RenderContext): Mask {
  if (!options.refine) return alpha;
  const refined = refineAlpha(image, alpha.data, maskSize);
  decontaminate(image, refined, maskSize);
  return { ...alpha, data: refined };
}
