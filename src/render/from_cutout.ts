/* Rendering from a cutout that was made before, when the image itself is not at hand. */
import type { Mask, Pixels } from "../base/pixels.ts";
import { defaultRenderOptions, type RenderOptions } from "./options.ts";

/** Options that make another cutout of the image, of its size and without anything behind the subject. */
const OF_CUTOUT: ReadonlySet<string> = new Set(["matting", "refine"] satisfies (keyof RenderOptions)[]);

/** Options that need no more than a cutout. Those in neither list need the image. */
const AFTER_CUTOUT: ReadonlySet<string> = new Set(
  [
    "format",
    "quality",
    "background",
    "size",
    "upscale",
    "crop",
    "margin",
    "roi",
    "scale",
    "position",
    "canvas",
    "channels",
    "smooth",
    "threshold",
    "feather",
    "solid",
    "shadow",
    "shadow_opacity",
  ] satisfies (keyof RenderOptions)[],
);

/** A rendering in two steps: the cutout to start from, and what is left to do with it. */
export interface CutoutSteps {
  readonly from: RenderOptions;
  readonly rest: RenderOptions;
}

/** Splits options into those of the cutout and those for which it suffices; undefined if others need the image. */
export function splitOptions(options: RenderOptions): CutoutSteps | undefined {
  const defaults: Record<string, unknown> = defaultRenderOptions;
  const chosen = Object.entries(options).filter(([name, value]) => value !== defaults[name]);
  if (chosen.some(([name]) => !OF_CUTOUT.has(name) && !AFTER_CUTOUT.has(name))) return undefined;
  const [from, rest] = [OF_CUTOUT, AFTER_CUTOUT].map((names) =>
    Object.fromEntries(chosen.filter(([name]) => names.has(name)))
  );
  return { from: { ...defaultRenderOptions, ...from }, rest: { ...defaultRenderOptions, ...rest } };
}

/** Takes the alpha of a cutout as the mask, and makes the cutout an opaque image again, in place. */
export function takeMask({ data, width, height }: Pixels): Mask {
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = data[i * 4 + 3];
  // Options such as `feather` make pixels visible whose colours a cutout does not have.
  spreadColours({ data, width, height }, alpha);
  for (let i = 3; i < data.length; i += 4) data[i] = 255;
  return { data: alpha, width, height };
}

/** Distances end here: no option reaches further. */
const MAX_DISTANCE = 65_535;

/**
 * Gives each transparent pixel the colour of a visible one, about the nearest: those found by two passes over the
 * image (Rosenfeld and Pfaltz, "Sequential Operations in Digital Picture Processing", J. ACM 1966).
 */
function spreadColours({ data, width, height }: Pixels, alpha: Uint8Array): void {
  const colours = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const distances = Uint16Array.from(alpha, (value) => value === 0 ? MAX_DISTANCE : 0);
  const visit = (i: number, neighbour: number) => {
    if (distances[neighbour] + 1 >= distances[i]) return;
    distances[i] = distances[neighbour] + 1;
    colours[i] = colours[neighbour];
  };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (distances[i] === 0) continue;
      if (x > 0) visit(i, i - 1);
      if (y > 0) visit(i, i - width);
    }
  }
  for (let y = height - 1, i = colours.length - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--, i--) {
      if (distances[i] === 0) continue;
      if (x < width - 1) visit(i, i + 1);
      if (y < height - 1) visit(i, i + width);
    }
  }
}
