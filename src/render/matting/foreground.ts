import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { borrowKernels, type KernelMemory } from "../../image/kernels.ts";
import { between, columnsBetween } from "./upsample_alpha.ts";

/** Germer et al.'s numbers of iterations: many while a level is small, then few. */
const SMALL_SIDE = 32;
const SMALL_ITERATIONS = 10;
const BIG_ITERATIONS = 2;

/** The address of planes of four f32 per pixel, height×width. */
export interface Separated extends Size {
  readonly foreground: number;
  readonly background: number;
}

/**
 * Foreground and background colours of a grid of cells, by multi-level estimation (Germer et al., "Fast Multi-Level
 * Foreground Estimation", ICPR 2020).
 * @param cells the address of colours and alpha, 0–1: height×width×4 f32.
 */
export function separate(memory: KernelMemory, cells: number, { width, height }: Size): Separated {
  const bytes = width * height * 16;
  const [image, foreground, background, lastForeground, lastBackground] = Array.from(
    { length: 5 },
    () => memory.reserve(bytes + 16),
  );
  const { run } = memory;
  const values = new Float32Array(run.memory.buffer, cells, width * height * 4);
  const means = [lastForeground, lastBackground].map((at) => new Float32Array(run.memory.buffer, at, 4));
  meanColours(values, means[0], means[1]);
  const levels = Math.max(1, Math.ceil(Math.log2(Math.max(width, height))));
  let last = { width: 1, height: 1 };
  for (let level = 0; level <= levels; level++) {
    const size = {
      width: Math.round(width ** (level / levels)),
      height: Math.round(height ** (level / levels)),
    };
    run.enlarge(cells, width, height, image, size.width, size.height);
    run.enlarge(lastForeground, last.width, last.height, foreground, size.width, size.height);
    run.enlarge(lastBackground, last.width, last.height, background, size.width, size.height);
    const small = size.width <= SMALL_SIDE && size.height <= SMALL_SIDE;
    for (let i = 0; i < (small ? SMALL_ITERATIONS : BIG_ITERATIONS); i++) {
      run.separateColours(image, foreground, background, size.width, size.height);
    }
    const length = size.width * size.height * 16;
    memory.bytes.copyWithin(lastForeground, foreground, foreground + length);
    memory.bytes.copyWithin(lastBackground, background, background + length);
    last = size;
  }
  return { width, height, foreground, background };
}

/** The mean colours where alpha is over 0.9, and where it is under 0.1. */
function meanColours(values: Float32Array, foreground: Float32Array, background: Float32Array): void {
  let [front, back] = [1e-5, 1e-5];
  for (let at = 0; at < values.length; at += 4) {
    const alpha = values[at + 3];
    if (alpha > 0.9) {
      front++;
      for (let c = 0; c < 3; c++) foreground[c] += values[at + c];
    } else if (alpha < 0.1) {
      back++;
      for (let c = 0; c < 3; c++) background[c] += values[at + c];
    }
  }
  for (let c = 0; c < 3; c++) {
    foreground[c] /= front;
    background[c] /= back;
  }
}

/** Foreground colours of an image at its own size: height×width×4, opaque. */
export function foregroundColours({ data, width, height }: Pixels, alpha: Uint8Array): Uint8Array<ArrayBuffer> {
  using memory = borrowKernels();
  const cells = memory.reserve(width * height * 16);
  const values = new Float32Array(memory.run.memory.buffer, cells, width * height * 4);
  for (let i = 0; i < alpha.length; i++) {
    for (let c = 0; c < 3; c++) values[i * 4 + c] = data[i * 4 + c] / 255;
    values[i * 4 + 3] = alpha[i] / 255;
  }
  const { foreground } = separate(memory, cells, { width, height });
  const colours = new Float32Array(memory.run.memory.buffer, foreground, width * height * 4);
  return new Uint8Array(Uint8ClampedArray.from(colours, (value, i) => i % 4 === 3 ? 255 : value * 255).buffer);
}

/** Replaces colours of translucent pixels by the foreground's, in place. */
export function recolourForeground(image: Pixels, alpha: Uint8Array, area: number, smoothness = 0.1): void {
  const { data, width, height } = image;
  const scale = Math.min(1, Math.sqrt(area / (width * height)));
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  using memory = borrowKernels();
  const cells = shrinkToVectors(memory, image, alpha, size);
  const { foreground, background } = separate(memory, cells, size);
  const columns = memory.place(new Int32Array(columnsBetween(width, size.width)));
  const row = memory.reserve(width * 4);
  const alphas = memory.reserve(width);
  const foregroundRow = memory.reserve(size.width * 16 + 16);
  const backgroundRow = memory.reserve(size.width * 16 + 16);
  const { bytes, run } = memory;
  const result = bytes.subarray(row, row + width * 4);
  for (let y = 0; y < height; y++) {
    const { cell, t } = between(y, height, size.height);
    const [at, next] = [cell, Math.min(size.height - 1, cell + 1)].map((index) => index * size.width * 16);
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    bytes.set(alpha.subarray(y * width, (y + 1) * width), alphas);
    run.mixRows(foreground + at, foreground + next, foregroundRow, size.width * 4, t);
    run.mixRows(background + at, background + next, backgroundRow, size.width * 4, t);
    run.recolour(row, alphas, width, foregroundRow, backgroundRow, columns, smoothness);
    data.set(result, y * width * 4);
  }
}

function shrinkToVectors(memory: KernelMemory, image: Pixels, alpha: Uint8Array, size: Size): number {
  const { data, width, height } = image;
  const to = memory.reserve(size.width * size.height * 16);
  const cellOf = (pixel: number, pixels: number, cells: number) =>
    Math.min(cells - 1, Math.floor(((pixel + 0.5) * cells) / pixels));
  const columnOf = Int32Array.from({ length: width }, (_, x) => cellOf(x, width, size.width));
  const columns = memory.place(columnOf);
  const row = memory.reserve(width * 4);
  const alphas = memory.reserve(width);
  const sums = memory.reserve(size.width * 16);
  const { bytes, run } = memory;
  const totals = new Uint32Array(bytes.buffer, sums, size.width * 4);
  const values = new Float32Array(bytes.buffer, to, size.width * size.height * 4);
  const widths = new Uint32Array(size.width);
  for (const column of columnOf) widths[column]++;
  for (let y = 0, rows = 0; y < height; y++) {
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    bytes.set(alpha.subarray(y * width, (y + 1) * width), alphas);
    run.addToCells(row, alphas, width, columns, sums);
    rows++;
    const cellRow = cellOf(y, height, size.height);
    if (y + 1 < height && cellOf(y + 1, height, size.height) === cellRow) continue;
    for (let i = 0, o = cellRow * size.width * 4; i < totals.length; i++, o++) {
      values[o] = totals[i] / (255 * rows * widths[i >> 2]);
    }
    totals.fill(0);
    rows = 0;
  }
  return to;
}
