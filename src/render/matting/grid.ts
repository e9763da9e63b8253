/*
 * Both matting functions estimate on a grid of cells, each some pixels wide, and interpolate between cells for each pixel,
 * like the fast guided filter (He, Sun, 2015): the estimates vary slowly. The grid depends on the mask's resolution, so it
 * has much the same size for every image.
 */
import type { Size } from "../../base/layout.ts";

/** The grid has about this many cells per pixel of the mask along each side, if the image has as many pixels. */
const CELLS_PER_MASK_PIXEL = 2;

/** The mask size of most models of the U²-Net family. */
export const USUAL_MASK: Size = { width: 320, height: 320 };

/** A grid over an image; `width` and `height` are numbers of cells. */
export interface Grid extends Size {
  /** The size of a cell in pixels. */
  readonly stepX: number;
  readonly stepY: number;
}

/** The grid for an image whose mask had this size. */
export function gridOf({ width, height }: Size, mask: Size): Grid {
  const stepX = Math.max(1, Math.floor(width / (CELLS_PER_MASK_PIXEL * mask.width)));
  const stepY = Math.max(1, Math.floor(height / (CELLS_PER_MASK_PIXEL * mask.height)));
  return { width: Math.ceil(width / stepX), height: Math.ceil(height / stepY), stepX, stepY };
}

/** How far a window reaches from its middle, in whole cells. */
export interface Reach {
  readonly across: number;
  readonly down: number;
}

/** Converts a radius in pixels of the mask to cells, at least one. */
export function inCells(radius: number, grid: Grid, mask: Size): Reach {
  return {
    across: Math.max(1, Math.round((radius * grid.width) / mask.width)),
    down: Math.max(1, Math.round((radius * grid.height) / mask.height)),
  };
}

/** For {@link slideWindow}: adds rows of a plane as they are. */
export function addRows(plane: Float32Array) {
  return (y: number, columns: Float64Array, sign: number): void => {
    for (let i = 0, at = y * columns.length; i < columns.length; i++) columns[i] += sign * plane[at++];
  };
}

/**
 * Sums over a window around each cell, row by row, with running sums: the time does not depend on the window's size.
 * Cells beyond the grid count as 0.
 * @param add adds `sign` times the values of row y to the sums of the columns, width×channels.
 * @param emit gets the sums over the windows around the cells of row y, width×channels.
 */
export function slideWindow(
  { width, height }: Size,
  channels: number,
  { across, down }: Reach,
  add: (y: number, columns: Float64Array, sign: 1 | -1) => void,
  emit: (y: number, sums: Float64Array) => void,
): void {
  const columns = new Float64Array(width * channels);
  const sums = new Float64Array(width * channels);
  const running = new Float64Array(channels);
  const reach = across * channels;
  for (let y = 0; y < Math.min(down, height); y++) add(y, columns, 1);
  for (let y = 0; y < height; y++) {
    if (y + down < height) add(y + down, columns, 1);
    if (y - down > 0) add(y - down - 1, columns, -1);
    running.fill(0);
    for (let i = 0; i < Math.min(reach, columns.length); i++) running[i % channels] += columns[i];
    for (let at = 0; at < columns.length; at += channels) {
      const entering = at + reach;
      const leaving = at - reach - channels;
      for (let c = 0; c < channels; c++) {
        if (entering < columns.length) running[c] += columns[entering + c];
        if (leaving >= 0) running[c] -= columns[leaving + c];
        sums[at + c] = running[c];
      }
    }
    emit(y, sums);
  }
}

/**
 * Interpolates a plane (grid height×width×channels) at a pixel of the image, between the four cells around it. Values
 * belong to the middles of cells and pixels, hence the halves.
 * @param to receives the values, one per channel.
 */
export function interpolate(
  grid: Grid,
  plane: Float32Array,
  channels: number,
  x: number,
  y: number,
  to: Float64Array,
): void {
  const gridX = Math.max(0, Math.min(grid.width - 1, (x + 0.5) / grid.stepX - 0.5));
  const gridY = Math.max(0, Math.min(grid.height - 1, (y + 0.5) / grid.stepY - 0.5));
  const column = Math.floor(gridX);
  const row = Math.floor(gridY);
  const right = column + 1 < grid.width ? channels : 0;
  const below = row + 1 < grid.height ? grid.width * channels : 0;
  const at = (row * grid.width + column) * channels;
  const atRight = (gridX - column) * (1 - (gridY - row));
  const atBelow = (1 - (gridX - column)) * (gridY - row);
  const atBoth = (gridX - column) * (gridY - row);
  const here = 1 - atRight - atBelow - atBoth;
  for (let c = 0; c < channels; c++) {
    const i = at + c;
    to[c] = here * plane[i] + atRight * plane[i + right] + atBelow * plane[i + below] +
      atBoth * plane[i + below + right];
  }
}
