import webpDecoder from "@jsquash/webp/codec/dec/webp_dec.wasm" with { type: "bytes" };
import decodeStill, { init } from "@jsquash/webp/decode.js";
import type { Pixels } from "../../base/pixels.ts";
import { asPixels, type Bytes, exactBuffer, viewOf } from "./format.ts";
import { wasmCodec } from "./wasm_codec.ts";

const libwebp = wasmCodec({ binary: webpDecoder, init, run: decodeStill });

/**
 * Decodes a WebP file; only the first frame of an animation.
 * @param checkFrame gets the frame as a file of its own: its size may differ from the animation's.
 * @throws {Error} if the file is damaged.
 */
export async function decodeWebp(bytes: Bytes, checkFrame: (file: Bytes) => void): Promise<Pixels> {
  const { file, place } = firstFrame(bytes);
  if (place !== undefined) checkFrame(file);
  const frame = asPixels(await libwebp(exactBuffer(file)));
  return place === undefined ? frame : placeOnCanvas(frame, place);
}

/** The place of a frame on the canvas of its animation, in pixels; the canvas is `width`×`height`. */
interface FramePlace {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Chunk {
  readonly name: string;
  readonly payload: Bytes;
}

const HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;
const FRAME_HEADER_BYTES = 16;
/** Chunks that are read at most. A handful comes before the first frame, and a handful is in it. */
const MAX_CHUNKS = 100;

/**
 * The first frame of an animated WebP as a still WebP, because libwebp's simple decoder refuses animations. A still WebP
 * is returned as is. (RFC 9649: section 2.7.1.1 for `ANIM` and `ANMF`, 2.3 for the RIFF layout.)
 * @throws {Error} if an animation has no frame.
 */
function firstFrame(file: Bytes): { file: Bytes; place?: FramePlace } {
  const all = chunks(file.subarray(HEADER_BYTES));
  const canvas = all.next().value;
  const ANIMATED = 0x02;
  if (canvas?.name !== "VP8X" || canvas.payload.length < 10 || (canvas.payload[0] & ANIMATED) === 0) return { file };
  const frame = all.find(({ name }) => name === "ANMF")?.payload;
  if (frame === undefined || frame.length < FRAME_HEADER_BYTES) throw new Error("its animation has no frame");
  const place = {
    x: uint24(frame, 0) * 2,
    y: uint24(frame, 3) * 2,
    width: uint24(canvas.payload, 4) + 1,
    height: uint24(canvas.payload, 7) + 1,
  };
  return { file: stillImage(frame.subarray(FRAME_HEADER_BYTES), frame), place };
}

/** Makes a file of a frame's chunks: its image and, if present, its alpha. */
function stillImage(data: Bytes, frame: Uint8Array): Bytes {
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

function* chunks(data: Bytes): Generator<Chunk, undefined> {
  const view = viewOf(data);
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

/** Puts a frame at its place on an otherwise transparent canvas. */
function placeOnCanvas(frame: Pixels, place: FramePlace): Pixels {
  const { x, y, width, height } = place;
  if (x === 0 && y === 0 && frame.width === width && frame.height === height) return frame;
  if (x + frame.width > width || y + frame.height > height) throw new Error("its frame reaches beyond the canvas");
  const data = new Uint8Array(width * height * 4);
  for (let row = 0; row < frame.height; row++) {
    const from = row * frame.width * 4;
    data.set(frame.data.subarray(from, from + frame.width * 4), ((y + row) * width + x) * 4);
  }
  return { data, width, height };
}
