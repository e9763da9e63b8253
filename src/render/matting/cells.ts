import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import type { KernelMemory } from "../../image/kernels.ts";

/** Rows of zeros before and after a plane, and columns of zeros between rows: the reach of the matting Laplacian. */
const MARGIN_ROWS = 2;
const MARGIN_COLUMNS = 4;

/** A grid of cells in the kernels' memory. A plane is height×stride f32 with zeros around it. */
export interface CellGrid extends Size {
  /** The values from one row to the next. */
  readonly stride: number;
  /** The bytes from one plane to the next. */
  readonly plane: number;
}

/** Colours and mask of an image on a grid, 0–1. */
export interface Cells {
  readonly grid: CellGrid;
  /** The address of the planes of red, green and blue. */
  readonly colours: number;
  /** The address of the mask's plane. */
  readonly mask: number;
}

export function cellGrid({ width, height }: Size): CellGrid {
  const stride = Math.ceil(width / 4) * 4 + MARGIN_COLUMNS;
  return { width, height, stride, plane: stride * (height + 2 * MARGIN_ROWS) * 4 };
}

/** Reserves planes. @returns the address of the first value of the first. */
export function reservePlanes(memory: KernelMemory, { plane, stride }: CellGrid, count: number): number {
  return memory.reserve(plane * count + 16) + MARGIN_ROWS * stride * 4;
}

/** The values of a plane, height×stride. Stays valid until more memory is reserved. */
export function planeView(memory: KernelMemory, { stride, height }: CellGrid, address: number): Float32Array {
  return new Float32Array(memory.run.memory.buffer, address, stride * height);
}

/** Shrinks an image and its alpha to the means of the pixels in each cell. The grid has at most as many cells as pixels. */
export function shrinkToCells(memory: KernelMemory, image: Pixels, alpha: Uint8Array, size: Size): Cells {
  const { data, width, height } = image;
  const grid = cellGrid(size);
  const colours = reservePlanes(memory, grid, 4);
  const mask = colours + 3 * grid.plane;
  const columnOf = Int32Array.from({ length: width }, (_, x) => cellOf(x, width, grid.width));
  const columns = memory.place(columnOf);
  const row = memory.reserve(width * 4);
  const alphas = memory.reserve(width);
  const sums = memory.reserve(grid.width * 16);
  const { bytes, run } = memory;
  const totals = new Uint32Array(bytes.buffer, sums, grid.width * 4);
  const planes = [0, 1, 2, 3].map((channel) => planeView(memory, grid, colours + channel * grid.plane));
  const widths = new Uint32Array(grid.width);
  for (const column of columnOf) widths[column]++;
  for (let y = 0, rows = 0; y < height; y++) {
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    bytes.set(alpha.subarray(y * width, (y + 1) * width), alphas);
    run.addToCells(row, alphas, width, columns, sums);
    rows++;
    const cellRow = cellOf(y, height, grid.height);
    if (y + 1 < height && cellOf(y + 1, height, grid.height) === cellRow) continue;
    for (let x = 0, to = cellRow * grid.stride; x < grid.width; x++, to++) {
      const scale = 1 / (255 * rows * widths[x]);
      for (let channel = 0; channel < 4; channel++) planes[channel][to] = totals[x * 4 + channel] * scale;
    }
    totals.fill(0);
    rows = 0;
  }
  return { grid, colours, mask };
}

/** The cell that the middle of a pixel lies in. */
function cellOf(pixel: number, pixels: number, cells: number): number {
  return Math.min(cells - 1, Math.floor(((pixel + 0.5) * cells) / pixels));
}

/** Means of 2×2 cells; a last odd row or column is left out. */
export function halveCells(memory: KernelMemory, { grid: from, colours }: Cells): Cells {
  const grid = cellGrid({ width: from.width >> 1, height: from.height >> 1 });
  const to = reservePlanes(memory, grid, 4);
  for (let channel = 0; channel < 4; channel++) {
    const source = planeView(memory, from, colours + channel * from.plane);
    const target = planeView(memory, grid, to + channel * grid.plane);
    for (let y = 0; y < grid.height; y++) {
      for (let x = 0, i = y * grid.stride, at = 2 * y * from.stride; x < grid.width; x++, i++, at += 2) {
        target[i] = (source[at] + source[at + 1] + source[at + from.stride] + source[at + from.stride + 1]) / 4;
      }
    }
  }
  return { grid, colours: to, mask: to + 3 * grid.plane };
}
