import type { Mask } from "../base/pixels.ts";
import { regionBox } from "./geometry.ts";
import type { RenderContext } from "./step.ts";

/**
 * Option `roi`: makes everything outside the region of interest transparent.
 * @throws {ImageError} `roi_exceeds_bounds`, `roi_region_empty`.
 */
export function regionOfInterest(alpha: Mask, { options }: RenderContext): Mask {
  if (options.roi === undefined) return alpha;
  const { data, width } = alpha;
  const box = regionBox(options.roi, alpha);
  data.fill(0, 0, box.top * width);
  data.fill(0, (box.top + box.height) * width);
  for (let y = box.top; y < box.top + box.height; y++) {
    data.fill(0, y * width, y * width + box.left);
    data.fill(0, y * width + box.left + box.width, (y + 1) * width);
  }
  return alpha;
}
