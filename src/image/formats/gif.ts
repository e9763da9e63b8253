import { Buffer } from "node:buffer";
import type { Pixels } from "../../base/pixels.ts";
import { type Bytes, jimpDecoder, viewOf } from "./format.ts";

const jimpGif = jimpDecoder("image/gif");

/** Decodes the first frame of a GIF file. */
export async function decodeGif(bytes: Bytes): Promise<Pixels> {
  return await jimpGif(firstGifFrame(bytes));
}

/**
 * A GIF that ends after its first frame (CompuServe, "Graphics Interchange Format", version 89a). omggif reads all of
 * them, draws beyond the canvas, and follows codes that stand for themselves for ever.
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
    throw new Error("a frame lies outside of its canvas");
  }
  at += 10 + paletteBytes(bytes[at + 9]);
  const { end, parts } = subBlocks(bytes, at + 1);
  checkGifCodes(Buffer.concat(parts), bytes[at]);
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
  if (at >= bytes.length) throw new Error("it is cut off");
  return { parts, end: at + 1 };
}

/** @throws {Error} where a code is used before it is defined. */
function checkGifCodes(packed: Uint8Array, codeSize: number): void {
  if (codeSize < 1 || codeSize > 8) throw new Error(`a code size of ${codeSize}`);
  const clear = 1 << codeSize;
  let next = clear + 2;
  let width = codeSize + 1;
  let previous = -1;
  for (let from = 0, bits = 0, pending = 0;;) {
    for (; bits < width; bits += 8) {
      if (from === packed.length) return;
      pending |= packed[from++] << bits;
    }
    const code = pending & ((1 << width) - 1);
    pending >>= width;
    bits -= width;
    if (code === clear + 1) return;
    if (code === clear) {
      next = clear + 2;
      width = codeSize + 1;
      previous = -1;
      continue;
    }
    if (previous < 0 ? code > clear : code > next) throw new Error("a code is not defined");
    if (previous >= 0 && next < 4096 && ++next === 1 << width && width < 12) width++;
    previous = code;
  }
}
