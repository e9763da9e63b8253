import webpDecoder from "@jsquash/webp/codec/dec/webp_dec.wasm" with { type: "bytes" };
import decodeStill, { init } from "@jsquash/webp/decode.js";
import { imageSize } from "image-size";
import { readExif } from "./exif.ts";
import { asPixels, type Bytes, type DecodedFile, type Decoder, exactBuffer, placeOnCanvas } from "./format.ts";
import { wasmCodec } from "./wasm_codec.ts";

const libwebp = wasmCodec({ binary: webpDecoder, init, run: decodeStill });

/** Decodes a WebP file; of an animation the first frame. */
export const decodeWebp: Decoder = async (bytes, checkSize) => {
  const { width, height } = imageSize(bytes);
  checkSize({ width, height });
  const { file, canvas } = firstFrame(bytes);
  const { colour, orientation, density } = readMetadata(bytes);
  // A frame has a size of its own, independent of the size of the animation.
  if (canvas !== undefined) checkSize(imageSize(file));
  const frame = asPixels(await libwebp(exactBuffer(file)));
  return { ...(canvas === undefined ? frame : placeOnCanvas(frame, canvas)), colour, orientation, density };
};

/** RFC 9649, 2.7.1.4 and 2.7.1.5. */
function readMetadata(bytes: Bytes): Pick<DecodedFile, "colour" | "orientation" | "density"> {
  const all = [...chunks(bytes.subarray(HEADER_BYTES))];
  const find = (wanted: string) => all.find(({ name }) => name === wanted)?.payload;
  const [profile, exif] = [find("ICCP"), find("EXIF")];
  return { colour: profile && { kind: "icc", profile }, ...(exif && readExif(exif)) };
}

/** Where a frame lies on the canvas of its animation, in pixels; the canvas is `width`×`height`. */
type FramePlace = Parameters<typeof placeOnCanvas>[1];

interface Chunk {
  readonly name: string;
  readonly payload: Uint8Array<ArrayBuffer>;
}

const HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;
const FRAME_HEADER_BYTES = 16;
/** How many chunks are looked through: a handful is before the first frame, and in it. */
const MAX_CHUNKS = 100;

/**
 * The first frame of an animated WebP as a still WebP, since libwebp's simple decoder refuses animations; a still one as
 * it is. (RFC 9649: section 2.7.1.1 for `ANIM` and `ANMF`, 2.3 for the RIFF layout.)
 * @throws {Error} if an animation has no frame.
 */
function firstFrame(file: Uint8Array<ArrayBuffer>): { file: Uint8Array<ArrayBuffer>; canvas?: FramePlace } {
  const all = chunks(file.subarray(HEADER_BYTES));
  const extended = all.next().value;
  const ANIMATED = 0x02;
  if (extended?.name !== "VP8X" || extended.payload.length < 10 || (extended.payload[0] & ANIMATED) === 0) {
    return { file };
  }
  const frame = all.find(({ name }) => name === "ANMF")?.payload;
  if (frame === undefined || frame.length < FRAME_HEADER_BYTES) throw new Error("the animation has no frame");
  const place: FramePlace = {
    x: uint24(frame, 0) * 2,
    y: uint24(frame, 3) * 2,
    width: uint24(extended.payload, 4) + 1,
    height: uint24(extended.payload, 7) + 1,
  };
  return { file: stillImage(frame.subarray(FRAME_HEADER_BYTES), frame), canvas: place };
}

/** A file of a frame's chunks: its image, and its alpha if it has one. */
function stillImage(data: Uint8Array<ArrayBuffer>, frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const hasAlpha = chunks(data).some(({ name }) => name === "ALPH");
  // Lossy data with alpha needs the extended header; everything else is a simple file.
  const extended = hasAlpha
    ? [...ascii("VP8X"), 10, 0, 0, 0, 0x10, 0, 0, 0, ...frame.subarray(6, 9), ...frame.subarray(9, 12)]
    : [];
  const size = 4 + extended.length + data.length;
  const file = new Uint8Array(8 + size);
  file.set(ascii("RIFF"));
  new DataView(file.buffer).setUint32(4, size, true);
  file.set(ascii("WEBP"), 8);
  file.set(extended, HEADER_BYTES);
  file.set(data, HEADER_BYTES + extended.length);
  return file;
}

function* chunks(data: Uint8Array<ArrayBuffer>): Generator<Chunk, undefined> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0, left = MAX_CHUNKS; at + CHUNK_HEADER_BYTES <= data.length && left > 0; left--) {
    const size = view.getUint32(at + 4, true);
    const name = String.fromCharCode(...data.subarray(at, at + 4));
    const from = at + CHUNK_HEADER_BYTES;
    yield { name, payload: data.subarray(from, from + size) };
    at = from + size + (size % 2);
  }
}

function uint24(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
