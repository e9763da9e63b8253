/* What the decoders share: the types between a file and its pixels, and views of bytes that do not copy them. */
import { defaultFormats } from "jimp";
import { Buffer } from "node:buffer";
import type { Pixels } from "../../base/pixels.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** The contents of a file's header, read before any pixel is decoded. */
export interface Header {
  /** The format's name in image-size: `jpg`, `png`, `gif`, … */
  readonly type: string;
  readonly width: number;
  readonly height: number;
  /** The EXIF orientation, 1 to 8 (CIPA DC-008, "Orientation"). */
  readonly orientation: number;
}

/** The result of a decoder: an ImageData, jimp's bitmap, or an object of the same shape. */
export interface DecodedImage {
  readonly data: ArrayBufferView;
  readonly width: number;
  readonly height: number;
}

/** jimp's decoder for a format. */
export function jimpDecoder(mime: string): (bytes: Bytes) => Promise<Pixels> {
  const format = defaultFormats.map((make) => make()).find((format) => format.mime === mime)!;
  return async (bytes) => asPixels(await format.decode(asBuffer(bytes)));
}

/** A decoder's result as {@link Pixels}; copied only if it does not begin at a multiple of four bytes. */
export function asPixels({ data, width, height }: DecodedImage): Pixels {
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return { data: bytes.byteOffset % 4 === 0 ? bytes : bytes.slice(), width, height };
}

/** The same bytes as an ArrayBuffer that holds nothing else. */
export function exactBuffer(bytes: Bytes): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** The same bytes, not copied, as a Node.js Buffer. */
export function asBuffer(bytes: Bytes): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same bytes, not copied, as a DataView. */
export function viewOf(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
