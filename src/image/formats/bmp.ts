import { type Decoder, viewOf } from "./format.ts";
import { magickDecoder } from "./magick.ts";

const magickBmp = magickDecoder("BMP");

/** The length of the first header with 32-bit sizes, in bytes (`BITMAPINFOHEADER`). OS/2's is shorter. */
const INFO_HEADER_BYTES = 40;

/** Decodes a BMP file. Checks the declared size first, because ImageMagick compares it with the file's length before. */
export const decodeBmp: Decoder = (bytes, checkSize) => {
  const view = viewOf(bytes);
  if (bytes.length >= 26 && view.getUint32(14, true) >= INFO_HEADER_BYTES) {
    // Rows are stored from the top if their number is negative.
    checkSize({ width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) });
  }
  return magickBmp(bytes, checkSize);
};
