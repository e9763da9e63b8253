import type { Size } from "../../base/layout.ts";
import type { CellGrid } from "./cells.ts";

/** How far around a cell doubt counts, in pixels of the mask: about the width of its blurred edges. */
const RADIUS = 4;

/**
 * The mean doubt around each cell, from 0 (all of the mask is 0 or 1) to 1 (all of it is 0.5): height×stride. A mask's doubt
 * is 4m(1−m). Beyond the grid, its outermost values continue.
 * @param mask the plane of the mask.
 * @param size the mask's size before it was upsampled.
 */
export function meanDoubt({ width, height, stride }: CellGrid, mask: Float32Array, size: Size): Float32Array {
  const [across, down] = reachIn({ width, height }, size, RADIUS);
  const doubt = mask.map((value) => 4 * value * (1 - value));
  const sums = new Float32Array(doubt.length);
  for (let y = 0; y < height; y++) {
    const at = (x: number) => doubt[y * stride + Math.min(width - 1, Math.max(0, x))];
    let sum = 0;
    for (let x = -across; x <= across; x++) sum += at(x);
    for (let x = 0; x < width; x++) {
      sums[y * stride + x] = sum;
      sum += at(x + across + 1) - at(x - across);
    }
  }
  const columns = new Float64Array(width);
  const row = (y: number) => Math.min(height - 1, Math.max(0, y)) * stride;
  const scale = 1 / ((2 * across + 1) * (2 * down + 1));
  for (let y = -down; y <= down; y++) for (let x = 0; x < width; x++) columns[x] += sums[row(y) + x];
  for (let y = 0; y < height; y++) {
    const [entering, leaving] = [row(y + down + 1), row(y - down)];
    for (let x = 0; x < width; x++) {
      doubt[y * stride + x] = columns[x] * scale;
      columns[x] += sums[entering + x] - sums[leaving + x];
    }
  }
  return doubt;
}

/** A radius in pixels of the mask, as whole cells across and down, at least one. */
export function reachIn(grid: Size, mask: Size, radius: number): [across: number, down: number] {
  return [
    Math.max(1, Math.round((radius * grid.width) / mask.width)),
    Math.max(1, Math.round((radius * grid.height) / mask.height)),
  ];
}
