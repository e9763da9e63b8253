import type { Mask } from "../base/pixels.ts";
import { blur } from "./blur.ts";
import type { RenderContext } from "./step.ts";

/** Option `feather`: softens the edge. */
export function feather(alpha: Mask, { options }: RenderContext): Mask {
  if (options.feather === 0) return alpha;
  return { ...alpha, data: blur(alpha.data, alpha.width, alpha.height, options.feather) };
}
