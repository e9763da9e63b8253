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

function cellGrid({ width, height }: Size): CellGrid {
  const stride = Math.ceil(width / 4) * 4 + MARGIN_COLUMNS;
  return { width, height, stride, plane: stride * (height + 2 * MARGIN_ROWS) * 4 };
}

/** The bytes of zeros before a plane's first value. */
export function planeOffset({ stride }: CellGrid): number {
  return MARGIN_ROWS * stride * 4;
}

/** Reserves planes, one after another. @returns the address of the first plane's first value. */
export function reservePlanes(memory: KernelMemory, grid: CellGrid, count: number): number {
  // Vectors at the end of the last row may reach beyond it.
  return memory.reserve(grid.plane * count + 16) + planeOffset(grid);
}

/** The values of a plane, height×stride. Stays valid until more memory is reserved. */
export function planeView(memory: KernelMemory, { stride, height }: CellGrid, address: number): Float32Array {
  return new Float32Array(memory.run.memory.buffer, address, stride * height);
}

/** The size of a grid with an image's proportions: its own, but at most `maxCells` cells. */
export function sizeWithin({ width, height }: Size, maxCells: number): Size {
  const scale = Math.min(1, Math.sqrt(maxCells / (width * height)));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Shrinks an image and its alpha to planes of the means of the pixels in each cell, 0–1. */
export function shrinkToCells(memory: KernelMemory, image: Pixels, alpha: Uint8Array, size: Size): Cells {
  const grid = cellGrid(size);
  const colours = reservePlanes(memory, grid, 4);
  const cells = { grid, colours, mask: colours + 3 * grid.plane };
  const addresses = [0, 1, 2, 3].map((channel) => colours + channel * grid.plane);
  meansOfCells(memory, image, alpha, size, () => {
    const planes = addresses.map((address) => planeView(memory, grid, address));
    return (row, means) => {
      for (let x = 0, to = row * grid.stride; x < grid.width; x++, to++) {
        for (let channel = 0; channel < 4; channel++) planes[channel][to] = means[x * 4 + channel];
      }
    };
  });
  return cells;
}

/** Shrinks like {@link shrinkToCells}, to the means of red, green, blue and alpha side by side. @returns their address. */
export function shrinkToVectors(memory: KernelMemory, image: Pixels, alpha: Uint8Array, size: Size): number {
  const address = memory.reserve(size.width * size.height * 16);
  meansOfCells(memory, image, alpha, size, () => {
    const vectors = new Float32Array(memory.run.memory.buffer, address, size.width * size.height * 4);
    return (row, means) => vectors.set(means, row * size.width * 4);
  });
  return address;
}

/**
 * Computes the means of each cell's pixels, row by row of cells.
 * @param receiver is called once the memory that this needs is reserved; it returns what receives a row: its number and the
 * means of red, green, blue and alpha of each cell, 0–1.
 */
function meansOfCells(
  memory: KernelMemory,
  { data, width, height }: Pixels,
  alpha: Uint8Array,
  size: Size,
  receiver: () => (row: number, means: Float32Array) => void,
): void {
  const columnOf = Int32Array.from({ length: width }, (_, x) => cellOf(x, width, size.width));
  const columns = memory.place(columnOf);
  const pixels = memory.reserve(width * 4);
  const alphas = memory.reserve(width);
  const sums = memory.reserve(size.width * 16);
  const { bytes, run } = memory;
  const receive = receiver();
  const totals = new Uint32Array(bytes.buffer, sums, size.width * 4);
  const means = new Float32Array(size.width * 4);
  const widths = new Uint32Array(size.width);
  for (const column of columnOf) widths[column]++;
  for (let y = 0, rows = 0; y < height; y++) {
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), pixels);
    bytes.set(alpha.subarray(y * width, (y + 1) * width), alphas);
    run.addToCells(pixels, alphas, width, columns, sums);
    rows++;
    const row = cellOf(y, height, size.height);
    if (y + 1 < height && cellOf(y + 1, height, size.height) === row) continue;
    for (let i = 0; i < totals.length; i++) means[i] = totals[i] / (255 * rows * widths[i >> 2]);
    receive(row, means);
    totals.fill(0);
    rows = 0;
  }
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
