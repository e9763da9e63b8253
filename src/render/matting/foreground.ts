import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { borrowKernels, type KernelMemory } from "../../image/kernels.ts";
import { shrinkToVectors, sizeWithin } from "./cells.ts";
import { between, columnsBetween } from "./upsample_alpha.ts";

/** Germer et al.'s numbers of iterations: many while a level is small, then few. */
const SMALL_SIDE = 32;
const SMALL_ITERATIONS = 10;
const BIG_ITERATIONS = 2;

/** The addresses of colours, 0–1: height×width×4 f32, the fourth unused. */
interface Separated {
  readonly foreground: number;
  readonly background: number;
}

/**
 * Foreground and background colours of a grid of cells, by multi-level estimation (Germer et al., "Fast Multi-Level
 * Foreground Estimation", ICPR 2020).
 * @param cells the address of colours and alpha, 0–1: height×width×4 f32.
 */
function separate(memory: KernelMemory, cells: number, { width, height }: Size): Separated {
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
  return { foreground, background };
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
export function foregroundColours(image: Pixels, alpha: Uint8Array): Uint8Array<ArrayBuffer> {
  const { width, height } = image;
  using memory = borrowKernels();
  const cells = shrinkToVectors(memory, image, alpha, { width, height });
  const { foreground } = separate(memory, cells, { width, height });
  const colours = new Float32Array(memory.run.memory.buffer, foreground, width * height * 4);
  return new Uint8Array(Uint8ClampedArray.from(colours, (value, i) => i % 4 === 3 ? 255 : value * 255).buffer);
}

/** The grid on which colours are estimated has at most so many cells: a finer one is not measurably better. */
const MAX_CELLS = 110_000;

/** How far a pixel's colours stay with those of its cell: more follows the cell, less the pixel's own colour. */
const SMOOTHNESS = 0.1;

/**
 * Replaces the colours of translucent pixels by the subject's, in place, so that the old background does not shine through
 * on a new one.
 * @param alpha height×width, 0–255; the image's own alpha is ignored.
 */
export function recolourForeground(image: Pixels, alpha: Uint8Array): void {
  const { data, width, height } = image;
  const size = sizeWithin(image, MAX_CELLS);
  using memory = borrowKernels();
  const cells = shrinkToVectors(memory, image, alpha, size);
  const { foreground, background } = separate(memory, cells, size);
  const columns = memory.place(columnsBetween(width, size.width));
  const row = memory.reserve(width * 4);
  const alphas = memory.reserve(width);
  const foregroundRow = memory.reserve(size.width * 16 + 16);
  const backgroundRow = memory.reserve(size.width * 16 + 16);
  const { bytes, run } = memory;
  const result = bytes.subarray(row, row + width * 4);
  for (let y = 0; y < height; y++) {
    const alphasOfRow = alpha.subarray(y * width, (y + 1) * width);
    if (!alphasOfRow.some((value) => value > 0 && value < 255)) continue;
    const { cell, t } = between(y, height, size.height);
    const [at, next] = [cell, Math.min(size.height - 1, cell + 1)].map((index) => index * size.width * 16);
    bytes.set(data.subarray(y * width * 4, (y + 1) * width * 4), row);
    bytes.set(alphasOfRow, alphas);
    run.mixRows(foreground + at, foreground + next, foregroundRow, size.width * 4, t);
    run.mixRows(background + at, background + next, backgroundRow, size.width * 4, t);
    run.recolour(row, alphas, width, foregroundRow, backgroundRow, columns, SMOOTHNESS);
    data.set(result, y * width * 4);
  }
}
