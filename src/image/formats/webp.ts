import webpDecoder from "@jsquash/webp/codec/dec/webp_dec.wasm" with { type: "bytes" };
import decodeStill, { init } from "@jsquash/webp/decode.js";
import type { Pixels } from "../../base/pixels.ts";
import { wasmCodec } from "./wasm_codec.ts";
import { asPixels, type Bytes, exactBuffer } from "./format.ts";

const libwebp = wasmCodec({ binary: webpDecoder, init, run: decodeStill });

/**
 * Decodes a WebP file; of an animation the first frame.
 * @param checkFrame given a frame's own file: it has a size of its own, whatever its animation says.
 */
export async function decodeWebp(bytes: Bytes, checkFrame: (file: Bytes) => void): Promise<Pixels> {
  const { file, place } = firstFrame(bytes);
  if (place !== undefined) checkFrame(file);
  const frame = asPixels(await libwebp(exactBuffer(file)));
  return place === undefined ? frame : placeOnCanvas(frame, place);
}

/** Where a frame lies on the canvas of its animation, in pixels; the canvas is `width`×`height`. */
interface FramePlace {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Chunk {
  readonly name: string;
  readonly payload: Uint8Array<ArrayBuffer>;
}

const HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;
const FRAME_HEADER_BYTES = 16;
/** How many chunks are looked through: a handful is before the first frame, and in it. */
const MOST_CHUNKS = 100;

/**
 * The first frame of an animated WebP as a still WebP, since libwebp's simple decoder refuses animations; a still one as
 * it is. (RFC 9649: section 2.7.1.1 for `ANIM` and `ANMF`, 2.3 for the RIFF layout.)
 * @throws {Error} where an animation has no frame.
 */
function firstFrame(file: Uint8Array<ArrayBuffer>): { file: Uint8Array<ArrayBuffer>; place?: FramePlace } {
  const all = chunks(file.subarray(HEADER_BYTES));
  const canvas = all.next().value;
  const ANIMATED = 0x02;
  if (canvas?.name !== "VP8X" || canvas.payload.length < 10 || (canvas.payload[0] & ANIMATED) === 0) return { file };
  const frame = all.find(({ name }) => name === "ANMF")?.payload;
  if (frame === undefined || frame.length < FRAME_HEADER_BYTES) throw new Error("the animation has no frame");
  const place = {
    x: uint24(frame, 0) * 2,
    y: uint24(frame, 3) * 2,
    width: uint24(canvas.payload, 4) + 1,
    height: uint24(canvas.payload, 7) + 1,
  };
  return { file: stillImage(frame.subarray(FRAME_HEADER_BYTES), frame), place };
}

/** A file of a frame's chunks: its image, and where there is one, its alpha. */
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
  for (let at = 0, left = MOST_CHUNKS; at + CHUNK_HEADER_BYTES <= data.length && left > 0; left--) {
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

/** A frame at its place on an otherwise transparent canvas. */
function placeOnCanvas(frame: Pixels, place: FramePlace): Pixels {
  const { x, y, width, height } = place;
  if (x === 0 && y === 0 && frame.width === width && frame.height === height) return frame;
  if (x + frame.width > width || y + frame.height > height) throw new Error("a frame lies outside of its canvas");
  const data = new Uint8Array(width * height * 4);
  for (let row = 0; row < frame.height; row++) {
    const from = row * frame.width * 4;
    data.set(frame.data.subarray(from, from + frame.width * 4), ((y + row) * width + x) * 4);
  }
  return { data, width, height };
}
