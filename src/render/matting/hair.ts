import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { borrowKernels, type KernelMemory } from "../../image/kernels.ts";
import { type Cells, planeView, shrinkToCells, sizeWithin } from "./cells.ts";
import { type Problem, solveAlpha, type SolverOptions } from "./closed_form.ts";
import { nearColours } from "./near_colours.ts";
import { meanDoubt } from "./uncertain.ts";
import { upsampleAlpha } from "./upsample_alpha.ts";

/*
 * All numbers were chosen on the first eight scenes of `deno task bench quality`, and held on the others.
 */

/** Alpha is solved for on a grid of at most so many cells. A finer one costs more and is no better. */
const MAX_CELLS = 110_000;

/** Cells with a larger mean doubt are unknown. */
const UNKNOWN_DOUBT = 0.04;

/** If a larger share of the image is unknown, the mask says too little to start from. */
const MAX_UNKNOWN_SHARE = 0.5;

/** How much the mask counts where it is certain; the matting Laplacian counts 1. */
const MASK_WEIGHT = 0.01;

/**
 * How much the mask counts where it is gray far and wide, from the first mean doubt on, and fully at the second. That is no
 * blurred edge but a part of the subject of which the model is unsure, and little else says anything about it.
 */
const GRAY_WEIGHT = 0.1;
const GRAY_FROM = 0.5;
const GRAY_TO = 0.9;

/** How much near colours count, if these differ by more than about √0.05 and explain the cell's colour to about 0.05. */
const COLOUR_WEIGHT = 0.03;
const MIN_CONTRAST = 0.05;
const COLOUR_DEVIATION = 0.05;

/** So that an equation always has a solution. */
const MIN_WEIGHT = 1e-6;

const SOLVER: SolverOptions = { epsilon: 1e-6, iterations: 30, halvings: 2, tolerance: 1e-8 };

/** Least squares leave a haze of this alpha on certain pixels, and take as much from opaque ones. */
const HAZE = 0.03;

/**
 * Finds the alpha of hair, fur and other fine detail at a mask's edges: soft-constrained closed-form matting on a grid,
 * upsampled by local linear models. The mask is no hard constraint, because it errs by more than a hair's width.
 * @param alpha height×width, 0–255: the mask at the image's size.
 * @param mask the mask's size before it was upsampled.
 * @returns height×width, 0–255: `alpha` itself if no cell is unknown, undefined if too many are.
 */
export function matteHair(
  image: Pixels,
  alpha: Uint8Array<ArrayBuffer>,
  mask: Size,
): Uint8Array<ArrayBuffer> | undefined {
  using memory = borrowKernels();
  const cells = shrinkToCells(memory, image, alpha, sizeWithin(image, MAX_CELLS));
  const { grid } = cells;
  const unknown = countUnknown(meanDoubt(grid, planeView(memory, grid, cells.mask), mask));
  if (unknown === 0) return alpha;
  if (unknown > MAX_UNKNOWN_SHARE * grid.width * grid.height) return undefined;
  const pose = (level: Cells, problem: Problem, scratch: number) => poseHair(memory, level, mask, problem, scratch);
  const solved = solveAlpha(memory, cells, pose, SOLVER);
  const result = alpha.slice();
  upsampleAlpha(memory, image, result, cells, solved, HAZE);
  return result;
}

function countUnknown(doubt: Float32Array): number {
  return doubt.reduce((count, value) => value > UNKNOWN_DOUBT ? count + 1 : count, 0);
}

/** States the problem: unknown cells are drawn to the mask, and to the alpha that near colours suggest. */
function poseHair(memory: KernelMemory, cells: Cells, size: Size, problem: Problem, scratch: number): void {
  const { grid, colours } = cells;
  const { width, height, stride } = grid;
  const mask = planeView(memory, grid, cells.mask);
  const doubt = meanDoubt(grid, mask, size);
  const { foreground, background } = nearColours(memory, cells, size, scratch);
  const [red, green, blue] = [0, 1, 2].map((channel) => planeView(memory, grid, colours + channel * grid.plane));
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, i = y * stride; x < width; x++, i++, at += 4) {
      const m = mask[i];
      if (doubt[i] <= UNKNOWN_DOUBT) {
        problem.alpha[i] = m > 0.5 ? 1 : 0;
        continue;
      }
      problem.unknown[i] = 1;
      problem.alpha[i] = m;
      const gray = Math.min(1, Math.max(0, (doubt[i] - GRAY_FROM) / (GRAY_TO - GRAY_FROM)));
      let weight = MASK_WEIGHT * (2 * m - 1) ** 2 + GRAY_WEIGHT * gray * gray + MIN_WEIGHT;
      let target = weight * m;
      if (foreground[at + 3] > 0 && background[at + 3] > 0) {
        // The projection of the cell's colour on the line from the background's to the subject's, and the rest.
        const dr = foreground[at] - background[at];
        const dg = foreground[at + 1] - background[at + 1];
        const db = foreground[at + 2] - background[at + 2];
        const er = red[i] - background[at], eg = green[i] - background[at + 1], eb = blue[i] - background[at + 2];
        const contrast = dr * dr + dg * dg + db * db;
        const share = Math.min(1, Math.max(0, (dr * er + dg * eg + db * eb) / Math.max(contrast, 1e-4)));
        const rest = (er - share * dr) ** 2 + (eg - share * dg) ** 2 + (eb - share * db) ** 2;
        const trust = (contrast / (contrast + MIN_CONTRAST)) * Math.exp(-rest / (2 * COLOUR_DEVIATION ** 2));
        weight += COLOUR_WEIGHT * trust;
        target += COLOUR_WEIGHT * trust * share;
      }
      problem.weight[i] = weight;
      problem.target[i] = target / weight;
    }
  }
}
