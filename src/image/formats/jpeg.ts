import mozjpegDecoder from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm" with { type: "bytes" };
import decodeMozjpeg, { init } from "@jsquash/jpeg/decode.js";
import type { Pixels } from "../../base/pixels.ts";
import { wasmCodec } from "./wasm_codec.ts";
import { asBuffer, asPixels, type Bytes, exactBuffer, type Header, jimpDecoder, viewOf } from "./format.ts";
import { readDirectory } from "./tiff_directory.ts";

/** JPEG files have up to about 15 scans. Each takes a pass over the whole image, even if it has few bytes. */
const MAX_SCANS = 64;

// mozjpeg is four times as fast as jimp's decoder and upsamples chroma smoothly, but does not support CMYK.
const mozjpeg = wasmCodec({ binary: mozjpegDecoder, init, run: decodeMozjpeg });
const jimpJpeg = jimpDecoder("image/jpeg");

/**
 * Decodes a JPEG file; does not apply its orientation.
 * @throws {Error} if the file is damaged.
 */
export async function decodeJpeg(bytes: Bytes): Promise<Pixels> {
  return readJpeg(bytes)?.components === 4 ? await jimpJpeg(bytes) : asPixels(await mozjpeg(exactBuffer(bytes)));
}

interface JpegHeader extends Header {
  readonly components: number;
}

/**
 * Reads the frame header of a JPEG file (ITU-T T.81, B.2.2), found in the way of libjpeg, and the EXIF orientation;
 * undefined if the file is not a JPEG.
 * @throws {Error} if there is no frame, or if there are more scans than any image needs.
 */
export function readJpeg(bytes: Bytes): JpegHeader | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  const view = viewOf(bytes);
  let frame: Omit<JpegHeader, "orientation"> | undefined;
  let orientation: number | undefined;
  let scans = 0;
  // Bytes between segments are a scan's data, which is skipped.
  for (let at = bytes.indexOf(0xff, 2); at >= 0 && at + 4 <= bytes.length; at = bytes.indexOf(0xff, at)) {
    const marker = bytes[at + 1];
    const END = 0xd9;
    if (marker === END) break;
    const alone = marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    if (alone || marker === 0xff) {
      at += alone ? 2 : 1;
      continue;
    }
    const payload = bytes.subarray(at + 4, at + 2 + view.getUint16(at + 2));
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && frame === undefined && payload.length >= 6) {
      const { 1: top, 2: low, 3: left, 4: right, 5: components } = payload;
      frame = { type: "jpg", width: (left << 8) | right, height: (top << 8) | low, components };
    }
    if (marker === 0xda && ++scans > MAX_SCANS) throw new Error(`it has more than ${MAX_SCANS} scans`);
    if (marker === 0xe1) orientation ??= exifOrientation(payload);
    at += 4 + payload.length;
  }
  if (frame === undefined) throw new Error("it has no frame");
  return { ...frame, orientation: orientation ?? 1 };
}

/** Undefined if the segment has no orientation or is damaged: the image may be intact all the same. */
function exifOrientation(segment: Bytes): number | undefined {
  const ORIENTATION = 0x112;
  const NAME = "Exif\0\0";
  if (asBuffer(segment).toString("latin1", 0, NAME.length) !== NAME) return undefined;
  try {
    return readDirectory(segment.subarray(NAME.length), [ORIENTATION]).get(ORIENTATION)?.[0];
  } catch {
    return undefined;
  }
}
