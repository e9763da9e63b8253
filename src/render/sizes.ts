/* Options that set the size of the result. */
import { z } from "zod";

/** The size that a result must fit into: a box in pixels, of which one side may be open, or a number of pixels. */
export type Bounds = { width?: number; height?: number } | { pixels: number };

/** Of a result, in pixels. */
export const MAX_SIDE = 16384;

/** `800x600`, `800x`, `x600` (pixels), `800` (both sides) or `0.25MP` (megapixels). */
export const boundsSchema = z.string().trim().transform((text, context): Bounds => {
  const [, megapixels] = /^(\d+(?:\.\d+)?)MP$/i.exec(text) ?? [];
  if (megapixels !== undefined && Number(megapixels) > 0) return { pixels: Math.round(Number(megapixels) * 1e6) };
  const [, width, height] = /^(\d*)x(\d*)$/i.exec(/^\d+$/.test(text) ? `${text}x${text}` : text) ?? [];
  const sides = [width, height].filter((side) => side !== undefined && side !== "").map(Number);
  if (sides.length === 0 || sides.some((side) => side < 1 || side > MAX_SIDE)) {
    context.addIssue(
      `${JSON.stringify(text)} is not a size, such as "800x600", "800x", "x600", "800" (1 to ${MAX_SIDE}) or "0.25MP"`,
    );
    return z.NEVER;
  }
  return { ...(width && { width: Number(width) }), ...(height && { height: Number(height) }) };
});

/** A size in pixels, or the width divided by the height. */
type CanvasSize = { width: number; height: number } | { ratio: number };

/** A canvas, and the subject's share of it, 0 to 1. */
export type Canvas = CanvasSize & { fill: number };

/** Of prints: 35×45 mm are 413×531 pixels. */
const PIXELS_PER_MM = 300 / 25.4;

/** `2000x2000`, `1:1` or `35x45mm`. */
export const canvasSchema = z.string().trim().transform((text, context): CanvasSize => {
  const [, across, separator, down, unit] = /^(\d+(?:\.\d+)?)([x×:])(\d+(?:\.\d+)?)(px|mm)?$/i.exec(text) ?? [];
  const [width, height] = [Number(across), Number(down)];
  const scale = unit?.toLowerCase() === "mm" ? PIXELS_PER_MM : 1;
  const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
  const isSide = (side: number) => side >= 1 && side <= MAX_SIDE;
  if (separator === ":" && unit === undefined && width > 0 && height > 0 && isRatio(width / height)) {
    return { ratio: width / height };
  }
  if (separator !== ":" && isSide(size.width) && isSide(size.height)) return size;
  context.addIssue(
    `${JSON.stringify(text)} is not a canvas, such as "2000x2000" (1 to ${MAX_SIDE}), "4:5" or "35x45mm" (300 dpi)`,
  );
  return z.NEVER;
});

/** A longer canvas would be of no use, and could have a side of 0 pixels. */
const MAX_RATIO = 100;

function isRatio(ratio: number): boolean {
  return ratio <= MAX_RATIO && ratio >= 1 / MAX_RATIO;
}

/** Leaves a margin, as shops and passports ask for. */
export const DEFAULT_FILL = 0.85;

/** `1%` to `100%`, as a share. */
export const fillSchema = z.string().trim().transform((text, context): number => {
  const percent = Number(/^(\d+(?:\.\d+)?)%?$/.exec(text)?.[1]);
  if (percent >= 1 && percent <= 100) return percent / 100;
  context.addIssue(`${JSON.stringify(text)} is not a share from "1%" to "100%"`);
  return z.NEVER;
});
