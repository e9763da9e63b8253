import type { Pixels } from "../../base/pixels.ts";
import type { KernelMemory } from "../../image/kernels.ts";
import { type CellGrid, type Cells, planeView, reservePlanes } from "./cells.ts";

/** Added to the variance of colours (0–1) in the 3×3 cells of a model. */
const EPSILON = 1e-5;

/** The table of the kernels for pixels between two cells: the left cell (i32), and the share of the right one (f32). */
export function columnsBetween(pixels: number, cells: number): Int32Array {
  const table = new DataView(new ArrayBuffer(pixels * 8));
  for (let x = 0; x < pixels; x++) {
    const { cell, t } = between(x, pixels, cells);
    table.setInt32(x * 8, cell, true);
    table.setFloat32(x * 8 + 4, t, true);
  }
  return new Int32Array(table.buffer);
}

/** The cell before the middle of a pixel, and the share of the next one. Values belong to the middles of cells. */
export function between(pixel: number, pixels: number, cells: number): { cell: number; t: number } {
  const at = Math.min(cells - 1, Math.max(0, ((pixel + 0.5) * cells) / pixels - 0.5));
  const cell = Math.max(0, Math.min(cells - 2, Math.floor(at)));
  return { cell, t: at - cell };
}

/**
 * Replaces alpha near unknown cells, in place, by local linear models of the cells' alpha applied to the colours of pixels
 * (He, Sun, "Fast Guided Filter", 2015); away from these it stays as it is.
 * @param alpha height×width, 0–255.
 * @param low alpha up to this, or from 1 less this, becomes 0 or 1.
 */
export function upsampleAlpha(
  memory: KernelMemory,
  image: Pixels,
  alpha: Uint8Array,
  { grid, colours }: Cells,
  solved: { alpha: number; unknown: number },
  low: number,
): void {
  const { data, width, height } = image;
  const { stride } = grid;
  if (grid.width === width && grid.height === height) return takeAlpha(memory, grid, solved, alpha, low);
  const models = reservePlanes(memory, grid, 4);
  const means = memory.reserve(grid.height * stride * 16 + 16);
  const near = memory.reserve(grid.height * stride * 4 + 16);
  const columns = memory.place(columnsBetween(width, grid.width));
  const row = memory.reserve(width * 4);
  const alphas = memory.reserve(width);
  const modelRow = memory.reserve(stride * 16 + 16);
  const nearRow = memory.reserve(stride * 4 + 16);
  const { bytes, run } = memory;
  const rowsAt = (y: number) => Math.max(1, 3 - (y === 0 ? 1 : 0) - (y === grid.height - 1 ? 1 : 0));
  for (let y = 0; y < grid.height; y++) {
    const at = y * stride * 4;
    run.fitModels(colours + at, solved.alpha + at, models + at, grid.plane, stride, grid.width, rowsAt(y), EPSILON);
  }
  for (let y = 0; y < grid.height; y++) {
    run.averageModels(models + y * stride * 4, means + y * stride * 16, grid.plane, stride, grid.width, rowsAt(y));
  }
  const nearCells = new Float32Array(bytes.buffer, near, grid.height * stride);
  widen(grid, planeView(memory, grid, solved.unknown), nearCells);
  const touched = Array.from({ length: grid.height }, (_, y) => {
    for (let i = y * stride; i < y * stride + grid.width; i++) if (nearCells[i] > 0) return true;
    return false;
  });
  const result = bytes.subarray(alphas, alphas + width);
  for (let y = 0; y < height; y++) {
    const { cell, t } = between(y, height, grid.height);
    const next = Math.min(grid.height - 1, cell + 1);
    if (!touched[cell] && !touched[next]) continue;
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    bytes.set(alpha.subarray(y * width, (y + 1) * width), alphas);
    run.mixRows(means + cell * stride * 16, means + next * stride * 16, modelRow, stride * 4, t);
    run.mixRows(near + cell * stride * 4, near + next * stride * 4, nearRow, stride, t);
    run.applyModels(row, alphas, width, modelRow, nearRow, columns, low);
    alpha.set(result, y * width);
  }
}

/** Where cells are pixels, their alpha needs no model. */
function takeAlpha(
  memory: KernelMemory,
  grid: CellGrid,
  solved: { alpha: number; unknown: number },
  to: Uint8Array,
  low: number,
): void {
  const values = planeView(memory, grid, solved.alpha);
  const unknown = planeView(memory, grid, solved.unknown);
  for (let y = 0, i = 0; y < grid.height; y++) {
    for (let x = 0, at = y * grid.stride; x < grid.width; x++, at++, i++) {
      if (unknown[at] === 0) continue;
      to[i] = Math.round(255 * Math.max(0, Math.min(1, (values[at] - low) / (1 - 2 * low))));
    }
  }
}

/** 1 where any of the 3×3 cells around is unknown. */
function widen({ width, height, stride }: CellGrid, unknown: Float32Array, to: Float32Array): void {
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * stride; x < width; x++, i++) {
      if (unknown[i] === 0) continue;
      for (let dy = y > 0 ? -1 : 0; dy <= 1 && y + dy < height; dy++) {
        for (let dx = x > 0 ? -1 : 0; dx <= 1 && x + dx < width; dx++) to[i + dy * stride + dx] = 1;
      }
    }
  }
}
