import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";
import type { Pixels } from "../../base/pixels.ts";
import { asBuffer, type Bytes, jimpDecoder, viewOf } from "./format.ts";

/** pngjs is slow with each chunk. A file of 20 MB in the usual chunks of 8 KB has 2,500. */
const MAX_CHUNKS = 50_000;
/** The most bytes that one byte of deflate can stand for (RFC 1951: two bits for 258 bytes). */
const MAX_DEFLATE_RATIO = 1032;

const jimpPng = jimpDecoder("image/png");

/**
 * Decodes a PNG file of any kind; 16 bits a channel become 8.
 * @throws {Error} if the file is damaged.
 */
export async function decodePng(bytes: Bytes): Promise<Pixels> {
  return await jimpPng(checkedPng(bytes));
}

/**
 * The file up to its last chunk, checked for what pngjs trusts (W3C, "Portable Network Graphics", third edition): that
 * there is no second header after the one whose size was checked, and that the amount of data fits the size.
 */
function checkedPng(bytes: Bytes): Bytes {
  const view = viewOf(bytes);
  const data: Bytes[] = [];
  let name = "";
  let at = 8;
  for (let chunk = 0; name !== "IEND"; chunk++) {
    if (chunk === MAX_CHUNKS) throw new Error(`it has more than ${MAX_CHUNKS} chunks`);
    const size = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + size > bytes.length) throw new Error("the file is cut off");
    name = asBuffer(bytes).toString("latin1", at + 4, at + 8);
    if ((name === "IHDR") !== (chunk === 0)) throw new Error("it must have exactly one header, at its beginning");
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
  if (packed * MAX_DEFLATE_RATIO < expected) throw new Error("it holds fewer pixels than its header says");
  // pngjs inflates interlaced data without a limit, so inflate it once with one.
  if (interlaced) inflateSync(Buffer.concat(data), { maxOutputLength: expected });
  return bytes.subarray(0, at);
}

/** The sizes of the seven images that make up an interlaced PNG. */
function adam7(width: number, height: number): [width: number, height: number][] {
  const passes = [[0, 8, 0, 8], [4, 8, 0, 8], [0, 4, 4, 8], [2, 4, 0, 4], [0, 2, 2, 4], [1, 2, 0, 2], [0, 1, 1, 2]];
  return passes.map(([x, xStep, y, yStep]) => [Math.ceil((width - x) / xStep), Math.ceil((height - y) / yStep)]);
}
