/*
 * Separable Lanczos resampling with a = 3 (C. E. Duchon, "Lanczos Filtering in One and Two Dimensions", Journal of Applied
 * Meteorology 18, 1979). When an image shrinks, the kernel is stretched by the scale, so that it also removes detail that
 * the smaller image cannot hold (antialiasing). Like Pillow's `Image.LANCZOS`, which made the reference masks, it keeps
 * 8-bit values between its two passes and computes in fixed point (see `kernels/resample.ts`).
 */
import type { Pixels } from "../base/pixels.ts";
import { borrowKernels, type KernelMemory, wholeVectors } from "./kernels.ts";

const LOBES = 3;

interface Weights {
  /** For each output position, the first input position that contributes. */
  readonly start: Int32Array;
  /** For each output position, the number of input positions that contribute. */
  readonly count: Int32Array;
  /** `stride` weights for each output position; those of one position sum to 1. */
  readonly weights: Float64Array;
  readonly stride: number;
}

function lanczos(x: number): number {
  if (x === 0) return 1;
  if (x <= -LOBES || x >= LOBES) return 0;
  const px = Math.PI * x;
  return (LOBES * Math.sin(px) * Math.sin(px / LOBES)) / (px * px);
}

/**
 * The weights of one axis.
 * @param inputSize number of input positions.
 * @param extent the image's length in input positions; less than `inputSize` if the image covers the last only in part.
 */
function lanczosWeights(inputSize: number, outputSize: number, extent = inputSize): Weights {
  const scale = extent / outputSize;
  const stretch = Math.max(1, scale);
  const support = LOBES * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const start = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const weights = new Float64Array(outputSize * stride);
  for (let out = 0; out < outputSize; out++) {
    const center = (out + 0.5) * scale;
    const from = Math.max(0, Math.floor(center - support + 0.5));
    const to = Math.min(inputSize, Math.floor(center + support + 0.5));
    let sum = 0;
    for (let i = from; i < to; i++) {
      const weight = lanczos((i - center + 0.5) / stretch);
      weights[out * stride + i - from] = weight;
      sum += weight;
    }
    for (let i = 0; i < to - from; i++) weights[out * stride + i] /= sum;
    start[out] = from;
    count[out] = to - from;
  }
  return { start, count, weights, stride };
}

/** 1.0 in fixed point. */
const ONE = 2 ** 22;

/** A weight in fixed point; halves are rounded away from zero, as in Pillow. */
function fixed(weight: number): number {
  return Math.trunc(weight * ONE + (weight < 0 ? -0.5 : 0.5));
}

/** All weights in fixed point. A loop, because `Int32Array.from` allocates an object for each. */
function allFixed(weights: Float64Array): Int32Array {
  const table = new Int32Array(weights.length);
  for (let i = 0; i < table.length; i++) table[i] = fixed(weights[i]);
  return table;
}

/** The table that the kernel `resampleAcross` reads: start, count and weights of each output position. */
function tableOf({ start, count, weights, stride }: Weights): Int32Array {
  const table = new Int32Array(start.length * (2 + stride));
  for (let out = 0, at = 0; out < start.length; out++, at += 2 + stride) {
    table[at] = start[out];
    table[at + 1] = count[out];
    for (let i = 0; i < count[out]; i++) table[at + 2 + i] = fixed(weights[out * stride + i]);
  }
  return table;
}

/**
 * Much larger images are first reduced by whole factors, to at least this many times the output's size. Pillow calls this
 * `reducing_gap`, "very close to fair resampling" at 3. At 12 megapixels it takes a third of the time.
 */
const REDUCING_GAP = 3;

/** Rows of pixels in a {@link KernelMemory}. */
export interface Rows {
  readonly address: number;
  /** The distance between rows in bytes, a multiple of 16. The bytes that pad a row are 0. */
  readonly rowLength: number;
}

/**
 * Resamples the colours of an image as it looks on a gray background, so that nothing depends on the colours that are
 * hidden under transparency.
 * @param gray 0–255.
 * @returns outputHeight×outputWidth×4, 0–255, in `memory`; the fourth value has no meaning.
 */
export function resampleColours(
  memory: KernelMemory,
  { data: rgba, width, height }: Pixels,
  outputWidth: number,
  outputHeight: number,
  gray: number,
): Rows {
  const factorAcross = Math.max(1, Math.floor(width / outputWidth / REDUCING_GAP));
  const factorDown = Math.max(1, Math.floor(height / outputHeight / REDUCING_GAP));
  const reducedWidth = Math.ceil(width / factorAcross);
  const reducedHeight = Math.ceil(height / factorDown);
  const horizontal = lanczosWeights(reducedWidth, outputWidth, width / factorAcross);
  const vertical = lanczosWeights(reducedHeight, outputHeight, height / factorDown);

  const { run } = memory;
  const table = memory.place(tableOf(horizontal));
  const rows = memory.reserve(factorDown * width * 4);
  const reduced = memory.reserve(reducedWidth * 4);
  const rowLength = wholeVectors(outputWidth * 4);
  const across = memory.reserve(reducedHeight * rowLength);
  const { bytes } = memory;
  const reduces = factorAcross > 1 || factorDown > 1;
  for (let y = 0; y < reducedHeight; y++) {
    const from = y * factorDown;
    const count = Math.min(factorDown, height - from);
    bytes.set(rgba.subarray(from * width * 4, (from + count) * width * 4), rows);
    run.putOnGray(rows, count * width, gray);
    if (reduces) run.reduceRow(rows, reduced, width, count, factorAcross);
    run.resampleAcross(reduces ? reduced : rows, across + y * rowLength, outputWidth, table, horizontal.stride);
  }
  const address = memory.reserve(outputHeight * rowLength);
  const down = secondPass(memory, { across, rowLength, vertical });
  for (let y = 0; y < outputHeight; y++) down(y, address + y * rowLength);
  return { address, rowLength };
}

/**
 * Resamples a single channel.
 * @param gray height×width, 0–255.
 * @returns outputHeight×outputWidth, 0–255.
 */
export function resampleGray(
  gray: Uint8Array,
  width: number,
  height: number,
  outputWidth: number,
  outputHeight: number,
): Uint8Array<ArrayBuffer> {
  // Four rows at a time are resampled like the four channels of one row.
  const AT_ONCE = 4;
  const horizontal = lanczosWeights(width, outputWidth);
  const vertical = lanczosWeights(height, outputHeight);
  using memory = borrowKernels();
  const { run } = memory;
  const table = memory.place(tableOf(horizontal));
  const rows = memory.reserve(AT_ONCE * width);
  const pixels = memory.reserve(AT_ONCE * width);
  const rowLength = wholeVectors(outputWidth);
  const across = memory.reserve((height + AT_ONCE - 1) * rowLength);
  const row = memory.reserve(rowLength);
  const output = new Uint8Array(outputHeight * outputWidth);
  const { bytes } = memory;
  for (let y = 0; y < height; y += AT_ONCE) {
    bytes.set(gray.subarray(y * width, (y + AT_ONCE) * width), rows);
    run.interleaveRows(rows, pixels, width);
    run.resampleFourAcross(pixels, across + y * rowLength, outputWidth, table, horizontal.stride, rowLength);
  }
  const down = secondPass(memory, { across, rowLength, vertical });
  const resampled = memory.bytes.subarray(row, row + outputWidth);
  for (let y = 0; y < outputHeight; y++) {
    down(y, row);
    output.set(resampled, y * outputWidth);
  }
  return output;
}

/** The vertical pass: a function that writes output row `y`, `rowLength` bytes of any number of channels, to an address. */
function secondPass(
  memory: KernelMemory,
  { across, rowLength, vertical }: { across: number; rowLength: number; vertical: Weights },
): (y: number, to: number) => void {
  const { start, count, weights, stride } = vertical;
  const table = memory.place(allFixed(weights));
  const { resampleDown } = memory.run;
  return (y, to) => resampleDown(across + start[y] * rowLength, to, rowLength, table + y * stride * 4, count[y]);
}

/**
 * Resamples an image with its alpha. Alpha weights the colours, so that hidden colours do not bleed into the edges.
 * @param rgba height×width×4, 0–255, colours not multiplied by alpha.
 * @returns outputHeight×outputWidth×4, in the same form.
 */
export function resampleRgba(
  rgba: Uint8Array,
  width: number,
  height: number,
  outputWidth: number,
  outputHeight: number,
): Uint8Array<ArrayBuffer> {
  const across = new Float32Array(height * outputWidth * 4);
  const horizontal = lanczosWeights(width, outputWidth);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < outputWidth; x++, to += 4) {
      let from = (y * width + horizontal.start[x]) * 4;
      let red = 0, green = 0, blue = 0, alpha = 0;
      for (let i = x * horizontal.stride, end = i + horizontal.count[x]; i < end; i++, from += 4) {
        const weight = horizontal.weights[i] * rgba[from + 3];
        red += rgba[from] * weight;
        green += rgba[from + 1] * weight;
        blue += rgba[from + 2] * weight;
        alpha += weight;
      }
      across[to] = red;
      across[to + 1] = green;
      across[to + 2] = blue;
      across[to + 3] = alpha;
    }
  }
  const output = new Uint8ClampedArray(outputHeight * outputWidth * 4);
  const vertical = lanczosWeights(height, outputHeight);
  const rowLength = outputWidth * 4;
  const sum = new Float64Array(rowLength);
  for (let y = 0; y < outputHeight; y++) {
    sum.fill(0);
    for (let i = 0; i < vertical.count[y]; i++) {
      const weight = vertical.weights[y * vertical.stride + i];
      const from = (vertical.start[y] + i) * rowLength;
      for (let x = 0; x < rowLength; x++) sum[x] += across[from + x] * weight;
    }
    for (let x = 0, to = y * rowLength; x < rowLength; x += 4, to += 4) {
      const alpha = sum[x + 3];
      // The kernel's ringing may make alpha negative, and alpha that rounds to 0 must not be a divisor either.
      if (alpha < 0.5) continue;
      output[to] = sum[x] / alpha;
      output[to + 1] = sum[x + 1] / alpha;
      output[to + 2] = sum[x + 2] / alpha;
      output[to + 3] = alpha;
    }
  }
  return new Uint8Array(output.buffer);
}
