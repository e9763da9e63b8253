import type { KernelMemory } from "../../image/kernels.ts";
import { type CellGrid, type Cells, halveCells, planeOffset, planeView, reservePlanes } from "./cells.ts";

/** What the alpha of cells is taken to be before it is solved for; all planes are height×stride of a grid. */
export interface Problem {
  /** 1 where alpha is unknown, else 0. */
  readonly unknown: Float32Array;
  /** Alpha where it is known, and a start where not. */
  readonly alpha: Float32Array;
  /** What unknown alpha is drawn to, and how strongly; the matting Laplacian counts 1. */
  readonly target: Float32Array;
  readonly weight: Float32Array;
}

export interface SolverOptions {
  /** Added to the variances of colours (0–1): less follows finer colours, and converges slower. */
  readonly epsilon: number;
  /** The most iterations on each grid. */
  readonly iterations: number;
  /** How many times the grid is halved for a start. */
  readonly halvings: number;
  /** The mean square of alpha's next change at which iterations end. */
  readonly tolerance: number;
}

/** Coefficients of a pixel's equation: its neighbours in 5×5. */
const COEFFICIENTS = 25;

/** Grids smaller than this along a side are not halved: they have no window of 3×3 with a neighbour. */
const MIN_SIDE = 24;

/**
 * Alpha by soft-constrained closed-form matting (Levin, Lischinski, Weiss, "A Closed-Form Solution to Natural Image Matting",
 * TPAMI 2008): `pose` states the problem on a grid, whose solution is the start on one twice as fine.
 * @param pose fills the planes of a problem, which are zeros. `scratch`: 100 bytes per value of a plane.
 * @returns the address of the plane of alpha, 0–1, and that of the unknown.
 */
export function solveAlpha(
  memory: KernelMemory,
  cells: Cells,
  pose: (cells: Cells, problem: Problem, scratch: number) => void,
  options: SolverOptions,
): { alpha: number; unknown: number } {
  const levels = [cells];
  while (levels.length <= options.halvings) {
    const last = levels[levels.length - 1];
    if (Math.min(last.grid.width, last.grid.height) < 2 * MIN_SIDE) break;
    levels.push(halveCells(memory, last));
  }
  const planes = levels.map(({ grid }) => reservePlanes(memory, grid, 2));
  // All levels use the same memory in turn: target, weight, four planes of the solver, the coefficients.
  const { plane, height } = cells.grid;
  const shared = reservePlanes(memory, cells.grid, 6 + COEFFICIENTS);
  const [target, weight, solver, coefficients] = [0, 1, 2, 6].map((index) => shared + index * plane);
  const before = shared - planeOffset(cells.grid);
  const spans = memory.reserve(height * 8);
  for (let i = levels.length - 1; i >= 0; i--) {
    const level = levels[i];
    const { grid } = level;
    const unknown = planes[i];
    const alpha = unknown + grid.plane;
    memory.bytes.fill(0, before, before + (6 + COEFFICIENTS) * plane);
    const problem = {
      unknown: planeView(memory, grid, unknown),
      alpha: planeView(memory, grid, alpha),
      target: planeView(memory, grid, target),
      weight: planeView(memory, grid, weight),
    };
    pose(level, problem, coefficients);
    memory.bytes.fill(0, coefficients - planeOffset(cells.grid), before + (6 + COEFFICIENTS) * plane);
    const coarse = levels[i + 1]?.grid;
    if (coarse !== undefined) startFrom(memory, coarse, planes[i + 1] + coarse.plane, grid, problem);
    findSpans(grid, problem.unknown, new Int32Array(memory.run.memory.buffer, spans, grid.height * 2));
    for (let y = 1; y < grid.height - 1; y++) {
      const row = y * grid.stride * 4;
      memory.run.addWindows(
        level.colours + row,
        grid.plane,
        grid.stride,
        grid.width,
        unknown + row,
        coefficients + COEFFICIENTS * row,
        options.epsilon,
      );
    }
    memory.run.solveUnknown(
      coefficients,
      weight,
      target,
      unknown,
      alpha,
      solver,
      plane,
      grid.stride,
      grid.height,
      spans,
      options.iterations,
      options.tolerance,
    );
    problem.alpha.forEach((value, at) => problem.alpha[at] = Math.min(1, Math.max(0, value)));
  }
  return { alpha: planes[0] + cells.grid.plane, unknown: planes[0] };
}

/** For each row the first unknown cell, down to a multiple of 4, and the end. */
function findSpans({ width, height, stride }: CellGrid, unknown: Float32Array, spans: Int32Array): void {
  for (let y = 0; y < height; y++) {
    let first = 0;
    let end = width;
    while (first < width && unknown[y * stride + first] === 0) first++;
    while (end > first && unknown[y * stride + end - 1] === 0) end--;
    spans[2 * y] = first & ~3;
    spans[2 * y + 1] = end;
  }
}

/** Starts the unknown cells from the solution on the grid of half the size, bilinearly. */
function startFrom(
  memory: KernelMemory,
  coarse: CellGrid,
  address: number,
  fine: CellGrid,
  { alpha, unknown }: Problem,
) {
  const solved = planeView(memory, coarse, address);
  for (let y = 0; y < fine.height; y++) {
    const fy = Math.min(coarse.height - 1, Math.max(0, (y - 0.5) / 2));
    const top = Math.min(coarse.height - 2, Math.floor(fy));
    for (let x = 0, i = y * fine.stride; x < fine.width; x++, i++) {
      if (unknown[i] === 0) continue;
      const fx = Math.min(coarse.width - 1, Math.max(0, (x - 0.5) / 2));
      const left = Math.min(coarse.width - 2, Math.floor(fx));
      const at = top * coarse.stride + left;
      const above = solved[at] + (fx - left) * (solved[at + 1] - solved[at]);
      const below = solved[at + coarse.stride] +
        (fx - left) * (solved[at + coarse.stride + 1] - solved[at + coarse.stride]);
      alpha[i] = above + (fy - top) * (below - above);
    }
  }
}
