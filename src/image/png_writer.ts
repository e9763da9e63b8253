import { constants, deflateSync, type ZlibOptions } from "node:zlib";
import { release } from "../base/release.ts";
import { joinChunks, type PngChunk } from "./formats/png_chunks.ts";
import { borrowKernels, wholeVectors } from "./kernels.ts";

/** Colour types (PNG specification, third edition, section 11.2.1), and their bytes per pixel at 8 bits a channel. */
const COLOUR = { rgba: { type: 6, bytesPerPixel: 4 }, gray: { type: 0, bytesPerPixel: 1 } } as const;

/** Bytes that zlib allocates at a time; it joins the pieces at the end. */
const CHUNK_SIZE = 262_144;
/** Finds only runs of one byte, and uses Huffman codes: best for the noise that a filter leaves of most photographs. */
const RUNS: ZlibOptions = { level: 3, strategy: constants.Z_RLE, memLevel: 9, chunkSize: CHUNK_SIZE };
/** Finds repetitions of several bytes: best for flat areas, and for gray photographs, whose three colours change alike. */
const REPETITIONS: ZlibOptions = { level: 3, memLevel: 9, chunkSize: CHUNK_SIZE };
/** Searching for repetitions takes 1.5 times as long, so its output must be at most this share of the other's. */
const MAX_RATIO = 0.97;
/** The share of an image that is compressed both ways to compare them. */
const SAMPLED_SHARE = 1 / 16;
/** The bytes of one piece of that sample: more than the 32 KB that deflate looks back. */
const PIECE = 49_152;

/** Rows are filtered in blocks of this many bytes, or one at a time if a row is longer. */
const BLOCK = 262_144;

/**
 * Encodes a PNG file, 8 bits a channel. Every row has the filter `Paeth`: for cutouts of photographs, the files are within
 * 1 % of those with the best filter for each row.
 * @param data height×width×4 (RGBA) or height×width (gray), 0–255.
 * @param metadata chunks between the header and the pixels.
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
  const packed = deflateSync(filtered, chooseCompression(filtered));
  release(filtered);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, type], 8);
  return joinChunks([["IHDR", header], ...metadata, ["IDAT", packed], ["IEND", new Uint8Array()]]);
}

/** Filters all rows; each begins with its filter's number. */
function filterRows(
  data: Uint8Array,
  rowLength: number,
  height: number,
  bytesPerPixel: number,
): Uint8Array<ArrayBuffer> {
  const filtered = new Uint8Array((1 + rowLength) * height);
  const rowsAtOnce = Math.min(height, Math.max(1, Math.floor(BLOCK / rowLength)));
  using memory = borrowKernels();
  // Zeros before each row, and a row of zeros above the first.
  const slot = 16 + wholeVectors(rowLength);
  const above = memory.reserve((1 + rowsAtOnce) * slot) + 16;
  const output = memory.reserve(rowsAtOnce * (1 + rowLength) + 16);
  const { bytes, run } = memory;
  for (let y = 0; y < height; y += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, height - y);
    for (let i = 0; i < rows; i++) {
      const row = above + (1 + i) * slot;
      bytes.set(data.subarray((y + i) * rowLength, (y + i + 1) * rowLength), row);
      run.filterRow(row, row - slot, output + i * (1 + rowLength), rowLength, bytesPerPixel);
    }
    filtered.set(bytes.subarray(output, output + rows * (1 + rowLength)), y * (1 + rowLength));
    bytes.copyWithin(above, above + rows * slot, above + rows * slot + rowLength);
  }
  return filtered;
}

/** Chooses how to compress filtered rows by a sample of them. */
function chooseCompression(filtered: Uint8Array): ZlibOptions {
  const pieces = Math.ceil(filtered.length * SAMPLED_SHARE / PIECE);
  const step = Math.floor(filtered.length / pieces);
  const sample = new Uint8Array(Math.min(filtered.length, pieces * PIECE));
  for (let i = 0; i < pieces; i++) {
    const from = i * step + Math.max(0, (step - PIECE) >> 1);
    sample.set(filtered.subarray(from, from + PIECE).subarray(0, sample.length - i * PIECE), i * PIECE);
  }
  const [runs, repetitions] = [RUNS, REPETITIONS].map((options) => deflateSync(sample, options).length);
  return repetitions < MAX_RATIO * runs ? REPETITIONS : RUNS;
}
