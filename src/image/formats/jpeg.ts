import mozjpegDecoder from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm" with { type: "bytes" };
import decodeMozjpeg, { init } from "@jsquash/jpeg/decode.js";
import type { Pixels } from "../../base/pixels.ts";
import { wasmCodec } from "./wasm_codec.ts";
import { asBuffer, asPixels, type Bytes, exactBuffer, type Header, jimpDecoder, viewOf } from "./format.ts";
import { readDirectory } from "./tiff.ts";

/** JPEG files have up to some 15. Each goes through the whole image, however few bytes it is of. */
const MOST_SCANS = 64;

// mozjpeg is four times faster than jimp's own decoder, and upsamples chroma smoothly. It does not know CMYK.
const mozjpeg = wasmCodec({ binary: mozjpegDecoder, init, run: decodeMozjpeg });
const jimpJpeg = jimpDecoder("image/jpeg");

/** Decodes a JPEG file; its orientation is not applied. */
export async function decodeJpeg(bytes: Bytes): Promise<Pixels> {
  return readJpeg(bytes)?.components === 4 ? await jimpJpeg(bytes) : asPixels(await mozjpeg(exactBuffer(bytes)));
}

interface JpegHeader extends Header {
  readonly components: number;
}

/**
 * The frame header of a JPEG file (ITU-T T.81, B.2.2), found as libjpeg finds it, and its orientation; undefined where
 * the file is no JPEG.
 * @throws {Error} where there is no frame, or are more scans than any image needs.
 */
export function readJpeg(bytes: Bytes): JpegHeader | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  const view = viewOf(bytes);
  let frame: Omit<JpegHeader, "orientation"> | undefined;
  let orientation: number | undefined;
  let scans = 0;
  // What lies between segments is a scan's data, and skipped like it.
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
    if (marker === 0xda && ++scans > MOST_SCANS) throw new Error(`more than ${MOST_SCANS} scans`);
    if (marker === 0xe1) orientation ??= exifOrientation(payload);
    at += 4 + payload.length;
  }
  if (frame === undefined) throw new Error("a JPEG without a frame");
  return { ...frame, orientation: orientation ?? 1 };
}

/** Undefined where the segment holds no such thing, or is damaged: the image need not be. */
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
