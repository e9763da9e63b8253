import type { Box, Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import { cropTo, inPixels, visibleBox } from "./geometry.ts";
import type { Margin } from "./options.ts";
import type { RenderContext } from "./step.ts";

/** Options `crop` and `margin`: crops to the subject; without a subject, keeps the whole image. */
export function crop(cutout: Pixels, { options }: RenderContext): Pixels {
  if (!options.crop) return cutout;
  const box = visibleBox(cutout) ?? { left: 0, top: 0, width: cutout.width, height: cutout.height };
  return cropTo(cutout, withMargin(box, options.margin, cutout));
}

/** The box with a margin around it, up to the border of the image. */
function withMargin(box: Box, margin: Margin | undefined, image: Size): Box {
  if (margin === undefined) return box;
  const larger = Math.max(box.width, box.height);
  const [above, right, below, left] = (Array.isArray(margin) ? margin : [margin, margin, margin, margin])
    .map((length) => inPixels(length, larger));
  const from = { left: Math.max(0, box.left - left), top: Math.max(0, box.top - above) };
  return {
    ...from,
    width: Math.min(image.width, box.left + box.width + right) - from.left,
    height: Math.min(image.height, box.top + box.height + below) - from.top,
  };
}
