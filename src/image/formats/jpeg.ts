import mozjpegDecoder from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm" with { type: "bytes" };
import decodeMozjpeg, { init } from "@jsquash/jpeg/decode.js";
import type { Density } from "../../base/pixels.ts";
import { MAX_PROFILE_BYTES } from "../colour/tag.ts";
import { readExif, toDensity } from "./exif.ts";
import {
  asPixels,
  type Bytes,
  type DecodedFile,
  type Decoder,
  exactBuffer,
  type Header,
  textAt,
  viewOf,
} from "./format.ts";
import { magickDecoder } from "./magick.ts";
import { wasmCodec } from "./wasm_codec.ts";

/** JPEG files have up to some 15. Each goes through the whole image, however few bytes it is of. */
const MAX_SCANS = 64;

const mozjpeg = wasmCodec({ binary: mozjpegDecoder, init, run: decodeMozjpeg });
const magickJpeg = magickDecoder("JPEG");

/** @throws {Error} if the file is damaged, or ends before its last row. */
export const decodeJpeg: Decoder = async (bytes, checkSize) => {
  const header = readHeader(bytes);
  checkSize(header);
  const { components, precision, colour, orientation, density } = header;
  // mozjpeg knows neither CMYK nor 12 bits. ImageMagick applies a profile of CMYK itself.
  if (components === 4 || precision !== 8) {
    const picture = await magickJpeg(bytes, checkSize);
    return { ...picture, colour: components === 4 ? undefined : colour, orientation, density };
  }
  return { ...asPixels(await mozjpeg(exactBuffer(bytes))), colour, orientation, density };
};

interface JpegHeader extends Header {
  readonly components: number;
  /** Bits a sample. */
  readonly precision: number;
}

/**
 * The frame header of a JPEG file (ITU-T T.81, B.2.2), found as libjpeg finds it, and what its metadata say.
 * @throws {Error} if there is no frame, or more scans than any image needs.
 */
function readHeader(bytes: Bytes): JpegHeader {
  const view = viewOf(bytes);
  let frame: Pick<JpegHeader, "width" | "height" | "components" | "precision"> | undefined;
  let exif: ReturnType<typeof readExif> | undefined;
  let jfif: Density | undefined;
  const profileParts: Bytes[] = [];
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
      const { 0: precision, 1: top, 2: low, 3: left, 4: right, 5: components } = payload;
      frame = { width: (left << 8) | right, height: (top << 8) | low, components, precision };
    }
    if (marker === 0xda && ++scans > MAX_SCANS) throw new Error(`more than ${MAX_SCANS} scans`);
    if (marker === 0xe0 && textAt(payload, 0, 5) === "JFIF\0") jfif ??= readJfif(payload);
    if (marker === 0xe1 && textAt(payload, 0, 6) === "Exif\0\0") exif ??= readExif(payload);
    if (marker === 0xe2 && textAt(payload, 0, 12) === "ICC_PROFILE\0") profileParts.push(payload.subarray(12));
    at += 4 + payload.length;
  }
  if (frame === undefined) throw new Error("a JPEG without a frame");
  const profile = joinProfile(profileParts);
  return {
    ...frame,
    orientation: exif?.orientation,
    density: jfif ?? exif?.density,
    colour: profile && { kind: "icc", profile },
  };
}

/** ITU-T T.871, 10.1. */
function readJfif(payload: Bytes): Density | undefined {
  const [unit, x, y] = [payload[7], (payload[8] << 8) | payload[9], (payload[10] << 8) | payload[11]];
  const [INCH, CENTIMETRE] = [1, 2];
  return unit === INCH || unit === CENTIMETRE ? toDensity(x, y, unit === CENTIMETRE ? 2.54 : 1) : undefined;
}

/** The parts of a profile (ICC.1:2022, B.4), each with its number and their count before it; undefined if one is missing. */
function joinProfile(parts: Bytes[]): Bytes | undefined {
  if (parts.length === 0 || parts.some((part) => part[1] !== parts.length)) return undefined;
  const inOrder = parts.toSorted((a, b) => a[0] - b[0]);
  const length = inOrder.reduce((sum, part) => sum + part.length - 2, 0);
  if (inOrder.some((part, i) => part[0] !== i + 1) || length > MAX_PROFILE_BYTES) return undefined;
  const profile = new Uint8Array(length);
  inOrder.reduce((at, part) => {
    profile.set(part.subarray(2), at);
    return at + part.length - 2;
  }, 0);
  return profile;
}
