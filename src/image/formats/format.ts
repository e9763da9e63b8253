import { Buffer } from "node:buffer";
import type { Density, Pixels } from "../../base/pixels.ts";
import type { Size } from "../../base/layout.ts";
import type { ColourTag } from "../colour/tag.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** A decoder's answer: pixels as the file stores them, and the tags that say how to show them. */
export interface DecodedFile extends Pixels {
  /** Whether the format knows no alpha. */
  readonly opaque?: boolean;
  /** 1 to 8, as EXIF counts (CIPA DC-008, "Orientation"); 1 if not given. */
  readonly orientation?: number;
  /** The colour space of the pixels; sRGB if not given. */
  readonly colour?: ColourTag;
}

/**
 * Decodes the first picture of a file. It calls `checkSize` with the size in the header before it decodes a pixel.
 * @param enough the size that suffices for a picture of a size, for decoders that can do with less work.
 */
export type Decoder = (
  bytes: Bytes,
  checkSize: (size: Size) => void,
  enough?: (size: Size) => Size | undefined,
) => Promise<DecodedFile>;

/** The shape of ImageData, and of most decoders' results. */
export interface RawImage extends Size {
  readonly data: ArrayBufferView;
}

/** How a header describes its picture. */
export interface Header extends Size {
  readonly orientation?: number;
  readonly colour?: ColourTag;
  readonly density?: Density;
}

/** A decoder's result as {@link Pixels}; copied only if it does not begin at a multiple of four bytes. */
export function asPixels({ data, width, height }: RawImage): Pixels {
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return { data: bytes.byteOffset % 4 === 0 ? bytes : bytes.slice(), width, height };
}

/**
 * A picture at its place on a larger, otherwise transparent canvas.
 * @throws {Error} if it does not lie within the canvas.
 */
export function placeOnCanvas(frame: Pixels, { x, y, width, height }: Size & { x: number; y: number }): Pixels {
  if (x === 0 && y === 0 && frame.width === width && frame.height === height) return frame;
  if (x < 0 || y < 0 || x + frame.width > width || y + frame.height > height) {
    throw new Error("a frame lies outside its canvas");
  }
  const data = new Uint8Array(width * height * 4);
  for (let row = 0; row < frame.height; row++) {
    const from = row * frame.width * 4;
    data.set(frame.data.subarray(from, from + frame.width * 4), ((y + row) * width + x) * 4);
  }
  return { data, width, height };
}

/** The same bytes as an ArrayBuffer that holds nothing else. */
export function exactBuffer(bytes: Bytes): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** The same bytes, not copied, as Node.js's class. */
export function asBuffer(bytes: Bytes): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same bytes, not copied, as numbers of any size. */
export function viewOf(bytes: Bytes): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes as Latin-1 text, for the names of chunks and boxes. */
export function textAt(bytes: Bytes, from: number, length: number): string {
  return asBuffer(bytes).toString("latin1", from, from + length);
}
