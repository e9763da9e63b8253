import type { Pixels } from "../../base/pixels.ts";
import { borrowKernels, type KernelMemory } from "../../image/kernels.ts";
import { type Cells, planeView, shrinkToCells, sizeWithin } from "./cells.ts";
import { type Problem, solveAlpha, type SolverOptions } from "./closed_form.ts";
import { TRIMAP, trimapOf, type TrimapOptions } from "./trimap.ts";
import { upsampleAlpha } from "./upsample_alpha.ts";

/** The grid's most cells: more would take longer than an inference and many megabytes. */
const MAX_CELLS = 200_000;

/** A cell is known if all of its pixels are; sums of f32 are not exact. */
const ALL = 0.9999;

/**
 * As pymatting has it, whose ε of 1e-7 is one for the sum over a window of nine pixels. A larger tolerance stops up to 0.004
 * of alpha from its solution, on average over a picture.
 */
const SOLVER: SolverOptions = { epsilon: 1e-7 / 9, iterations: 500, halvings: 3, tolerance: 1e-12 };

/**
 * Alpha as rembg's alpha matting finds it: closed-form matting with the certain parts of a trimap as hard constraints.
 * @param alpha height×width, 0–255: the mask at the image's size.
 * @returns height×width, 0–255; undefined if the trimap has no subject or no background, in which case rembg does without.
 */
export function matteByTrimap(
  image: Pixels,
  alpha: Uint8Array,
  options: TrimapOptions,
): Uint8Array<ArrayBuffer> | undefined {
  const { width, height } = image;
  const trimap = trimapOf(alpha, width, height, options);
  if (!trimap.includes(TRIMAP.foreground) || !trimap.includes(TRIMAP.background)) return undefined;
  if (!trimap.includes(TRIMAP.unknown)) return trimap;
  using memory = borrowKernels();
  const cells = shrinkToCells(memory, image, trimap, sizeWithin(image, MAX_CELLS));
  const solved = solveAlpha(memory, cells, (level, problem) => poseByTrimap(memory, level, problem), SOLVER);
  const result = trimap.slice();
  upsampleAlpha(memory, image, result, cells, solved, 0);
  // Pixels that the trimap knows may lie in cells that it does not.
  for (let i = 0; i < result.length; i++) if (trimap[i] !== TRIMAP.unknown) result[i] = trimap[i];
  return result;
}

function poseByTrimap(memory: KernelMemory, { grid, mask }: Cells, { unknown, alpha }: Problem): void {
  const trimap = planeView(memory, grid, mask);
  for (let y = 0; y < grid.height; y++) {
    for (let x = 0, i = y * grid.stride; x < grid.width; x++, i++) {
      const value = trimap[i];
      unknown[i] = value > 1 - ALL && value < ALL ? 1 : 0;
      alpha[i] = unknown[i] === 1 ? value : Math.round(value);
    }
  }
}
