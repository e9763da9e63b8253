import { Buffer } from "node:buffer";
import mozjpegDecoder from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm" with { type: "bytes" };
import decodeMozjpeg, { init } from "@jsquash/jpeg/decode.js";
import type { Size } from "../../base/layout.ts";
import type { Density, Pixels } from "../../base/pixels.ts";
import { MAX_PROFILE_BYTES } from "../colour/tag.ts";
import { readExif, toDensity } from "./exif.ts";
import { asBuffer, asPixels, type Bytes, type Decoder, exactBuffer, type Header, textAt, viewOf } from "./format.ts";
import { magickDecoder } from "./magick.ts";
import { wasmCodec } from "./wasm_codec.ts";

/** JPEG files have up to some 15. Each goes through the whole image, however few bytes it is of. */
const MAX_SCANS = 64;

type Init = (module: WebAssembly.Module, options: { printErr(line: string): void }) => Promise<void>;

/** libjpeg's warnings about the file; at least the first. */
let warnings: string[] = [];
const mozjpeg = wasmCodec({
  binary: mozjpegDecoder,
  // Its declaration lacks the second parameter.
  init: (module) => (init as Init)(module, { printErr: (line) => void warnings.push(line) }),
  run: decodeMozjpeg,
});
const magickJpeg = magickDecoder("JPEG");

/** @throws {Error} if the file is damaged, or ends before its last row. */
export const decodeJpeg: Decoder = async (bytes, checkSize, enough) => {
  const header = readHeader(bytes);
  checkSize(header);
  const { width, height, components, precision, colour, orientation = 1, density, scansMissing } = header;
  if (scansMissing && header.end === undefined) throw new Error("the file ends before the last of its scans");
  // A file that merely lacks its last marker has all its rows.
  const end = header.end ?? bytes.length;
  const file = header.end === undefined ? joined(bytes, END_OF_IMAGE) : bytes;
  // mozjpeg knows neither CMYK nor 12 bits.
  if (components === 4 || precision !== 8) return { ...await magickJpeg(file, checkSize), orientation, density };
  // The file may hold the picture turned by 90 degrees.
  const turn = (size: Size): Size => orientation > 4 ? { width: size.height, height: size.width } : size;
  const upright = enough?.(turn(header));
  if (upright !== undefined) {
    // If it is damaged, the other decoder says what is missing.
    const picture = await magickJpeg(file, checkSize, () => turn(upright)).catch(() => undefined);
    if (picture !== undefined) {
      return { ...picture, opaque: true, colour, orientation, density, fullSize: { width, height } };
    }
  }
  warnings = [];
  const image = asPixels(await mozjpeg(exactBuffer(file)));
  if (warnings.length > 0) await refuseMissingRows(image, bytes.subarray(0, end));
  return { ...image, opaque: true, colour, orientation, density };
};

const END_OF_IMAGE = Uint8Array.of(0xff, 0xd9);

/**
 * Looks for rows whose data did not come. libjpeg makes them up, so they are others if noise follows the data.
 * @param file without its end.
 * @throws {Error} if there are any.
 */
async function refuseMissingRows({ data, width, height }: Pixels, file: Bytes): Promise<void> {
  const other = asPixels(await mozjpeg(exactBuffer(joined(file, NOISE, END_OF_IMAGE))));
  const [before, after] = [asBuffer(data), asBuffer(other.data)];
  const row = (y: number) => [y * width * 4, (y + 1) * width * 4] as const;
  for (let y = 0; y < height; y++) {
    const [from, to] = row(y);
    if (before.compare(after, from, to, from, to) === 0) continue;
    throw new Error(`the file ends after ${Math.floor(100 * y / height)} % of its rows`);
  }
}

/** Codes of no meaning, at first by themselves, then behind each of the markers at which a decoder may start again. */
const NOISE = noise();

function noise(): Bytes {
  const bytes = new Uint8Array(4096);
  // Neither 0 nor 255, which have a meaning among codes; but a 0 in front, should the file end within a marker.
  for (let i = 1, state = 1; i < bytes.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = 1 + (state >>> 16) % 254;
  }
  for (let at = 1024, marker = 0; at < bytes.length; at += 128, marker++) bytes.set([0xff, 0xd0 + marker % 8], at);
  return bytes;
}

function joined(...parts: Uint8Array[]): Bytes {
  return new Uint8Array(Buffer.concat(parts));
}

interface JpegHeader extends Header {
  readonly components: number;
  /** Bits a sample. */
  readonly precision: number;
  /** Where its last marker is; undefined if it has none. */
  readonly end?: number;
  /** Whether bits of some coefficient are in no scan. */
  readonly scansMissing: boolean;
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
  let end: number | undefined;
  // For each component, the lowest bit that is known of each of its 64 coefficients.
  const lowestBits = new Map<number, Uint8Array>();
  // What lies between segments is a scan's data, and skipped like it.
  for (let at = bytes.indexOf(0xff, 2); at >= 0 && at + 2 <= bytes.length; at = bytes.indexOf(0xff, at)) {
    const marker = bytes[at + 1];
    const END = 0xd9;
    if (marker === END) {
      end = at;
      break;
    }
    const alone = marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    if (alone || marker === 0xff) {
      at += alone ? 2 : 1;
      continue;
    }
    if (at + 4 > bytes.length) break;
    const payload = bytes.subarray(at + 4, at + 2 + view.getUint16(at + 2));
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && frame === undefined && payload.length >= 6) {
      const { 0: precision, 1: top, 2: low, 3: left, 4: right, 5: components } = payload;
      frame = { width: (left << 8) | right, height: (top << 8) | low, components, precision };
    }
    if (marker === 0xda) {
      if (++scans > MAX_SCANS) throw new Error(`it has more than ${MAX_SCANS} scans`);
      noteScan(lowestBits, payload);
    }
    if (marker === 0xe0 && textAt(payload, 0, 5) === "JFIF\0") jfif ??= readJfif(payload);
    if (marker === 0xe1 && textAt(payload, 0, 6) === "Exif\0\0") exif ??= readExif(payload);
    if (marker === 0xe2 && textAt(payload, 0, 12) === "ICC_PROFILE\0") profileParts.push(payload.subarray(12));
    at += 4 + payload.length;
  }
  if (frame === undefined) throw new Error("it has no frame header");
  const profile = joinProfile(profileParts);
  return {
    ...frame,
    end,
    scansMissing: lowestBits.size < frame.components ||
      lowestBits.values().some((bits) => bits.some((lowest) => lowest > 0)),
    orientation: exif?.orientation,
    density: jfif ?? exif?.density,
    colour: profile && { kind: "icc", profile },
  };
}

/** ITU-T T.81, B.2.3. */
function noteScan(lowestBits: Map<number, Uint8Array>, payload: Bytes): void {
  const components = payload[0];
  const [first, last, bits] = payload.subarray(1 + 2 * components);
  for (let i = 0; i < components; i++) {
    const id = payload[1 + 2 * i];
    if (!lowestBits.has(id)) lowestBits.set(id, new Uint8Array(64).fill(255));
    lowestBits.get(id)!.fill(bits & 15, first, last + 1);
  }
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
