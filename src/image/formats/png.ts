import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";
import type { Pixels } from "../../base/pixels.ts";
import { asBuffer, type Bytes, jimpDecoder, viewOf } from "./format.ts";

/** pngjs takes its time with each; 20 MB in the usual pieces of 8 KB are 2,500. */
const MOST_CHUNKS = 50_000;
/** A byte of deflate stands for that many at most (RFC 1951: two bits for 258 bytes). */
const DEFLATE_RATIO = 1032;

const jimpPng = jimpDecoder("image/png");

/** Decodes a PNG file of any kind; 16 bits a channel become 8. */
export async function decodePng(bytes: Bytes): Promise<Pixels> {
  return await jimpPng(checkedPng(bytes));
}

/**
 * A PNG as it is up to its end, checked for what pngjs takes on trust (W3C, "Portable Network Graphics", third edition):
 * a second header after the one that was checked for its size, and pixels that have nothing to do with that.
 */
function checkedPng(bytes: Bytes): Bytes {
  const view = viewOf(bytes);
  const data: Bytes[] = [];
  let name = "";
  let at = 8;
  for (let chunk = 0; name !== "IEND"; chunk++) {
    if (chunk === MOST_CHUNKS) throw new Error(`more than ${MOST_CHUNKS} chunks`);
    const size = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + size > bytes.length) throw new Error("it is cut off");
    name = asBuffer(bytes).toString("latin1", at + 4, at + 8);
    if ((name === "IHDR") !== (chunk === 0)) throw new Error("it has more than one header");
    if (name === "PLTE" && size > 3 * 256) throw new Error("its palette has more than 256 colours");
    if (name === "IDAT" && size > 0) data.push(bytes.subarray(at + 8, at + 8 + size));
    at += 12 + size;
  }
  const [width, height, depth, colourType, interlaced] = [
    ...[view.getUint32(16), view.getUint32(20)],
    ...[bytes[24], bytes[25], bytes[28] === 1],
  ] as const;
  const bitsPerPixel = depth * ({ 2: 3, 4: 2, 6: 4 }[colourType] ?? 1);
  const passes = interlaced ? adam7(width, height) : [[width, height]];
  const expected = passes.reduce((sum, [w, h]) => sum + (w > 0 ? h * (1 + Math.ceil(w * bitsPerPixel / 8)) : 0), 0);
  const packed = data.reduce((sum, { length }) => sum + length, 0);
  if (packed * DEFLATE_RATIO < expected) throw new Error("it holds fewer pixels than its header says");
  // pngjs unpacks interlaced pixels whatever they grow to.
  if (interlaced) inflateSync(Buffer.concat(data), { maxOutputLength: expected });
  return bytes.subarray(0, at);
}

/** The sizes of the seven images that an interlaced PNG consists of. */
function adam7(width: number, height: number): [width: number, height: number][] {
  const passes = [[0, 8, 0, 8], [4, 8, 0, 8], [0, 4, 4, 8], [2, 4, 0, 4], [0, 2, 2, 4], [1, 2, 0, 2], [0, 1, 1, 2]];
  return passes.map(([x, xStep, y, yStep]) => [Math.ceil((width - x) / xStep), Math.ceil((height - y) / yStep)]);
}
