import { constants, crc32, deflateSync, type ZlibOptions } from "node:zlib";
import { release } from "../base/release.ts";
import { KernelMemory, wholeVectors } from "./kernels.ts";

/** Colour types (PNG specification, third edition, section 11.2.1), and their bytes per pixel at 8 bits a channel. */
const COLOUR = { rgba: { type: 6, bytesPerPixel: 4 }, gray: { type: 0, bytesPerPixel: 1 } } as const;

export type PngChunk = readonly [name: string, data: Uint8Array];

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** In bytes: what it comes to is joined from so many pieces. */
const chunkSize = 262_144;
/** Runs of one byte, and Huffman codes: what suits the noise that a filter leaves of most photographs. */
const RUNS: ZlibOptions = { level: 3, strategy: constants.Z_RLE, memLevel: 9, chunkSize };
/** Repetitions of several bytes, as where the three colours differ in the same way: of gray photographs, and of flat ones. */
const REPETITIONS: ZlibOptions = { level: 3, memLevel: 9, chunkSize };
/** What searching for repetitions must come to at most, since it takes half as much time again. */
const WORTH_IT = 0.97;
/** How much of an image is packed both ways to learn which suits it, and in what pieces: deflate looks back 32 KB. */
const SAMPLED = 1 / 16;
const PIECE = 49_152;

/** How many bytes of rows are filtered at a time, or one row where that is longer. */
const BLOCK = 262_144;

/**
 * A PNG file, 8 bits a channel. Every row is filtered by `Paeth`: over photographs cut out, within 1 % of the best of all
 * filters row by row.
 * @param metadata chunks between the header and the pixels.
 * @param data height×width×4 (RGBA) or height×width (gray), 0–255.
 */
export function writePng(
  data: Uint8Array,
  width: number,
  height: number,
  colour: keyof typeof COLOUR,
  metadata: PngChunk[] = [],
): Uint8Array<ArrayBuffer> {
  const { type, bytesPerPixel } = COLOUR[colour];
  const filtered = filterRows(data, width * bytesPerPixel, height, bytesPerPixel);
  const packed = deflateSync(filtered, suiting(filtered));
  release(filtered);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, type], 8);
  return joinChunks([["IHDR", header], ...metadata, ["IDAT", packed], ["IEND", new Uint8Array()]]);
}

/** Each row with its filter's number before it. */
function filterRows(
  data: Uint8Array,
  rowLength: number,
  height: number,
  bytesPerPixel: number,
): Uint8Array<ArrayBuffer> {
  const filtered = new Uint8Array((1 + rowLength) * height);
  const rowsAtOnce = Math.min(height, Math.max(1, Math.floor(BLOCK / rowLength)));
  const memory = new KernelMemory();
  // Zeros at the left of each row, and one row above the first.
  const slot = 16 + wholeVectors(rowLength);
  const above = memory.reserve((1 + rowsAtOnce) * slot) + 16;
  const output = memory.reserve(rowsAtOnce * (1 + rowLength) + 16);
  const { bytes } = memory;
  for (let y = 0; y < height; y += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, height - y);
    for (let i = 0; i < rows; i++) {
      const row = above + (1 + i) * slot;
      bytes.set(data.subarray((y + i) * rowLength, (y + i + 1) * rowLength), row);
      memory.run.filterRow(row, row - slot, output + i * (1 + rowLength), rowLength, bytesPerPixel);
    }
    filtered.set(bytes.subarray(output, output + rows * (1 + rowLength)), y * (1 + rowLength));
    bytes.copyWithin(above, above + rows * slot, above + rows * slot + rowLength);
  }
  return filtered;
}

/** How to pack an image's filtered rows, told from a sample of them. */
function suiting(filtered: Uint8Array): ZlibOptions {
  const pieces = Math.ceil(filtered.length * SAMPLED / PIECE);
  const step = Math.floor(filtered.length / pieces);
  const sample = new Uint8Array(Math.min(filtered.length, pieces * PIECE));
  for (let i = 0; i < pieces; i++) {
    const from = i * step + Math.max(0, (step - PIECE) >> 1);
    sample.set(filtered.subarray(from, from + PIECE).subarray(0, sample.length - i * PIECE), i * PIECE);
  }
  const [runs, repetitions] = [RUNS, REPETITIONS].map((options) => deflateSync(sample, options).length);
  return repetitions < WORTH_IT * runs ? REPETITIONS : RUNS;
}

/** A PNG file of these chunks. */
export function joinChunks(chunks: PngChunk[]): Uint8Array<ArrayBuffer> {
  const length = chunks.reduce((sum, [, data]) => sum + 12 + data.length, SIGNATURE.length);
  const file = new Uint8Array(length);
  const view = new DataView(file.buffer);
  file.set(SIGNATURE);
  let at = SIGNATURE.length;
  for (const [name, data] of chunks) {
    view.setUint32(at, data.length);
    new TextEncoder().encodeInto(name, file.subarray(at + 4));
    file.set(data, at + 8);
    const end = at + 8 + data.length;
    view.setUint32(end, crc32(file.subarray(at + 4, end)));
    at = end + 4;
  }
  return file;
}
