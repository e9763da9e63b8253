import { Buffer } from "node:buffer";
import type { Pixels } from "../../base/pixels.ts";
import { type Bytes, jimpDecoder, viewOf } from "./format.ts";
import { readLzwCodes } from "./lzw.ts";

const jimpGif = jimpDecoder("image/gif");

/**
 * Decodes the first frame of a GIF file.
 * @throws {Error} if the file is damaged.
 */
export async function decodeGif(bytes: Bytes): Promise<Pixels> {
  return await jimpGif(firstGifFrame(bytes));
}

/**
 * The first frame as a GIF of its own, checked (CompuServe, "Graphics Interchange Format", version 89a). jimp's decoder,
 * omggif, reads all frames, draws beyond the canvas, and follows codes that stand for themselves forever.
 */
function firstGifFrame(bytes: Bytes): Bytes {
  const view = viewOf(bytes);
  const paletteBytes = (flags: number) => (flags & 0x80) ? 3 << ((flags & 7) + 1) : 0;
  const [EXTENSION, FRAME, END] = [0x21, 0x2c, 0x3b];
  let at = 13 + paletteBytes(bytes[10]);
  while (bytes[at] === EXTENSION) at = subBlocks(bytes, at + 2).end;
  if (bytes[at] !== FRAME) throw new Error("it has no frame");
  const [x, y, width, height] = [1, 3, 5, 7].map((offset) => view.getUint16(at + offset, true));
  if (x + width > view.getUint16(6, true) || y + height > view.getUint16(8, true)) {
    throw new Error("its frame reaches beyond the canvas");
  }
  at += 10 + paletteBytes(bytes[at + 9]);
  const { end, parts } = subBlocks(bytes, at + 1);
  checkCodes(Buffer.concat(parts), bytes[at]);
  const file = new Uint8Array(end + 1);
  file.set(bytes.subarray(0, end));
  file[end] = END;
  return file;
}

function subBlocks(bytes: Bytes, at: number): { parts: Bytes[]; end: number } {
  const parts: Bytes[] = [];
  while (bytes[at] > 0) {
    parts.push(bytes.subarray(at + 1, at + 1 + bytes[at]));
    at += 1 + bytes[at];
  }
  if (at >= bytes.length) throw new Error("the file is cut off");
  return { parts, end: at + 1 };
}

/** @throws {Error} if a code is used before it is defined. */
function checkCodes(packed: Bytes, literalBits: number): void {
  if (literalBits < 1 || literalBits > 8) throw new Error(`its code size is ${literalBits} instead of 1 to 8`);
  readLzwCodes(packed, { literalBits, bitOrder: "lowest first", widensEarly: false });
}
