import type { Mask } from "../base/pixels.ts";
import type { RenderContext } from "./step.ts";

/** Option `threshold`: makes every pixel opaque or transparent. */
export function threshold(alpha: Mask, { options }: RenderContext): Mask {
  if (options.threshold !== undefined) harden(alpha.data, options.threshold);
  return alpha;
}

/** Turns alpha into 255 if it is at least `minAlpha`, else into 0, in place. */
export function harden(alpha: Uint8Array, minAlpha: number): void {
  for (let i = 0; i < alpha.length; i++) alpha[i] = alpha[i] >= minAlpha ? 255 : 0;
}
