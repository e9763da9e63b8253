import type { Bytes } from "./format.ts";

/** Bits of the widest code, in GIF as in TIFF. */
const MAX_WIDTH = 12;

/** The size of a table with an entry for each code. */
export const MAX_CODES = 1 << MAX_WIDTH;

/** The differences between the LZW of GIF (version 89a, appendix F) and that of TIFF (TIFF 6.0, section 13). */
export interface LzwVariant {
  /** Bits of a literal. The next two codes mean "clear the table" and "end". */
  readonly literalBits: number;
  /** Which end of a byte comes first. */
  readonly bitOrder: "lowest first" | "highest first";
  /** TIFF makes codes wider one code before the table is full. */
  readonly widensEarly: boolean;
}

/**
 * Called for each code that stands for data. `previous` is the code before it, -1 if there is none since the table was
 * cleared. `entry` is the code that this one defines, the data of `previous` and one byte more; -1 if it defines none.
 * Returns whether to read on.
 */
export type VisitCode = (code: number, previous: number, entry: number) => boolean;

/**
 * Reads LZW codes up to the code for the end or, if it is missing, up to the end of the data. Without `visit`, it only
 * checks them.
 * @throws {Error} if a code is used before it is defined.
 */
export function readLzwCodes(packed: Bytes, variant: LzwVariant, visit?: VisitCode): void {
  const clear = 1 << variant.literalBits;
  const end = clear + 1;
  const highestFirst = variant.bitOrder === "highest first";
  const early = variant.widensEarly ? 1 : 0;
  let [next, width, previous] = [end + 1, variant.literalBits + 1, -1];
  // `bits` bits of `pending` are still to be decoded: its lowest, or its highest if the lowest bit of a byte comes first.
  for (let from = 0, bits = 0, pending = 0;;) {
    for (; bits < width; bits += 8) {
      if (from === packed.length) return;
      pending = highestFirst ? (pending << 8) | packed[from++] : (pending >>> 8) | (packed[from++] << 24);
    }
    const code = (pending >>> (highestFirst ? bits - width : 32 - bits)) & ((1 << width) - 1);
    bits -= width;
    if (code === end) return;
    if (code === clear) {
      [next, width, previous] = [end + 1, variant.literalBits + 1, -1];
      continue;
    }
    if (previous < 0 ? code > clear : code > next) throw new Error("an LZW code is used before it is defined");
    let entry = -1;
    if (previous >= 0 && next < MAX_CODES) {
      entry = next++;
      if (next + early === 1 << width && width < MAX_WIDTH) width++;
    }
    if (visit !== undefined && !visit(code, previous, entry)) return;
    previous = code;
  }
}
