import type { Mask } from "../base/pixels.ts";
import { MIN_VISIBLE_ALPHA } from "./geometry.ts";
import type { RenderContext } from "./step.ts";

/** The assumed width of an edge, as a share of the image's larger side: four pixels of a mask of 320. */
const EDGE_SHARE = 1 / 80;

/** Option `solid`: makes visible pixels opaque if every invisible pixel is further away than the width of an edge. */
export function solid(alpha: Mask, { options }: RenderContext): Mask {
  if (!options.solid) return alpha;
  const { data, width, height } = alpha;
  const reach = Math.ceil(Math.max(width, height) * EDGE_SHARE);
  const invisible = data.map((value) => value < MIN_VISIBLE_ALPHA ? 1 : 0);
  const across = spread(invisible, { length: width, lines: height, step: 1, lineStep: width, reach });
  const near = spread(across, { length: height, lines: width, step: width, lineStep: 1, reach });
  for (let i = 0; i < data.length; i++) if (near[i] === 0) data[i] = 255;
  return alpha;
}

/** Along each line, sets every flag that is at most `reach` away from one that is set. */
function spread(
  flags: Uint8Array,
  { length, lines, step, lineStep, reach }: Record<"length" | "lines" | "step" | "lineStep" | "reach", number>,
): Uint8Array {
  const output = new Uint8Array(flags.length);
  for (let line = 0; line < lines; line++) {
    const at = (i: number) => line * lineStep + i * step;
    for (let i = 0, last = -Infinity; i < length; i++) {
      if (flags[at(i)]) last = i;
      if (i - last <= reach) output[at(i)] = 1;
    }
    for (let i = length - 1, last = Infinity; i >= 0; i--) {
      if (flags[at(i)]) last = i;
      if (last - i <= reach) output[at(i)] = 1;
    }
  }
  return output;
}
