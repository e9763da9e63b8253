import { defaultFormats } from "jimp";
import { Buffer } from "node:buffer";
import type { Pixels } from "../../base/pixels.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** What a file's header says, before any pixel is decoded. */
export interface Header {
  /** A name of image-size's: `jpg`, `png`, `gif`, … */
  readonly type: string;
  readonly width: number;
  readonly height: number;
  /** 1 to 8, as EXIF counts (CIPA DC-008, "Orientation"). */
  readonly orientation: number;
}

/** What decoders answer with: an ImageData, jimp's bitmap, or something of their shape. */
export interface DecodedImage {
  readonly data: ArrayBufferView;
  readonly width: number;
  readonly height: number;
}

/** jimp's decoder of a format. */
export function jimpDecoder(mime: string): (bytes: Bytes) => Promise<Pixels> {
  const format = defaultFormats.map((make) => make()).find((format) => format.mime === mime)!;
  return async (bytes) => asPixels(await format.decode(asBuffer(bytes)));
}

/** A decoder's answer as {@link Pixels}; copied only where it does not begin at a multiple of four bytes. */
export function asPixels({ data, width, height }: DecodedImage): Pixels {
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return { data: bytes.byteOffset % 4 === 0 ? bytes : bytes.slice(), width, height };
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
export function viewOf(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
