import { Buffer } from "node:buffer";
import mozjpegEncoder from "@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm" with { type: "bytes" };
import encodeMozjpeg, { init as initMozjpeg } from "@jsquash/jpeg/encode.js";
import webpEncoder from "@jsquash/webp/codec/enc/webp_enc_simd.wasm" with { type: "bytes" };
import encodeWebp, { init as initWebp } from "@jsquash/webp/encode.js";
import { zipSync } from "fflate";
// @ts-types="@types/pngjs"
import { PNG } from "pngjs";
import { ImageError } from "../base/errors.ts";
import { asBuffer } from "./formats/format.ts";
import { type PngChunk, writePng } from "./png_writer.ts";
import type { Density, Mask, Pixels } from "../base/pixels.ts";
import srgb from "./colour/srgb.icc" with { type: "bytes" };
import { wasmCodec } from "./formats/wasm_codec.ts";

// mozjpeg compresses better than jimp's own encoder, which is the only other one; jimp has none for WebP.
const mozjpeg = wasmCodec({ binary: mozjpegEncoder, init: initMozjpeg, run: encodeMozjpeg });
const webp = wasmCodec({ binary: webpEncoder, init: initWebp, run: encodeWebp });

/** The largest side that the format can hold, in pixels. */
const LARGEST_SIDE = { png: 2 ** 31 - 1, webp: 16383, jpeg: 65535 };

/** In a ZIP file (APPNOTE.TXT 4.4.6) time begins here. Always the same, so that the same result is the same file. */
const ZIP_EPOCH = new Date(1980, 0, 1);

export interface EncodeOptions {
  readonly format: "png" | "webp" | "jpeg";
  /** 1 to 100, for WebP (100: lossless) and JPEG. */
  readonly quality?: number;
  /** Kept in PNG and JPEG. */
  readonly density?: Density;
}

/**
 * A file of an image. JPEG takes the colours as they are and forgets alpha.
 * @throws {ImageError} `image_too_large` where the format cannot hold the image.
 */
export async function encode(
  image: Pixels,
  { format, quality = 90, density }: EncodeOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  refuseOversize(image, format);
  if (format === "png") return writePng(image.data, image.width, image.height, "rgba", inSrgb(density));
  if (format === "jpeg") {
    return withProfile(withDensity(new Uint8Array(await mozjpeg(imageData(image), { quality })), density));
  }
  const lossless = quality === 100;
  // Method 2 of 6: a third of the default's time, for files 3 % larger. `exact` would keep colours that nobody sees.
  return new Uint8Array(
    await webp(imageData(image), lossless ? { lossless: 1, quality: 50, method: 2 } : { quality, method: 2 }),
  );
}

/** The chunks of a PNG file that tell its colour space and, if it is known, its resolution (11.3.2.5 and 11.3.4.3). */
function inSrgb(density: Density | undefined): PngChunk[] {
  const PERCEPTUAL = 0;
  const chunks: PngChunk[] = [["sRGB", Uint8Array.of(PERCEPTUAL)]];
  if (density === undefined) return chunks;
  const METRE = 1;
  const resolution = new DataView(new ArrayBuffer(9));
  resolution.setUint32(0, Math.round(density.x / 0.0254));
  resolution.setUint32(4, Math.round(density.y / 0.0254));
  resolution.setUint8(8, METRE);
  return [...chunks, ["pHYs", new Uint8Array(resolution.buffer)]];
}

/** Where the first segment of a JPEG file of mozjpeg's ends: JFIF (ITU-T T.871, 10.1), with the resolution in it. */
const JFIF_END = 20;

function withDensity(file: Uint8Array<ArrayBuffer>, density: Density | undefined): Uint8Array<ArrayBuffer> {
  if (density === undefined) return file;
  const INCH = 1;
  const view = new DataView(file.buffer, file.byteOffset);
  view.setUint8(13, INCH);
  view.setUint16(14, Math.round(density.x));
  view.setUint16(16, Math.round(density.y));
  return file;
}

/** With the profile of sRGB (ICC.1:2022, B.4): programs differ in what they take a file without one for. */
function withProfile(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const header = new TextEncoder().encode("ICC_PROFILE\0\x01\x01");
  const length = 2 + header.length + srgb.length;
  const segment = [Uint8Array.of(0xff, 0xe2, length >> 8, length & 255), header, srgb];
  return new Uint8Array(Buffer.concat([file.subarray(0, JFIF_END), ...segment, file.subarray(JFIF_END)]));
}

/**
 * A ZIP file of an image: its colours as `color.jpg` and its alpha as `alpha.png`. Both are stored as they are, since
 * neither can be made smaller.
 */
export async function encodeZip(
  image: Pixels,
  options: Pick<EncodeOptions, "quality" | "density">,
): Promise<Uint8Array<ArrayBuffer>> {
  const colour = await encode(image, { format: "jpeg", ...options });
  const files = { "color.jpg": colour, "alpha.png": encodeMask(alphaOf(image)) };
  return zipSync(files, { level: 0, mtime: ZIP_EPOCH }) as Uint8Array<ArrayBuffer>;
}

/** The alpha of an image as a mask of its size. */
export function alphaOf({ data, width, height }: Pixels): Mask {
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = data[i * 4 + 3];
  return { data: alpha, width, height };
}

/** A file of a mask: grayscale, 8 bits. */
export async function encodeGray(mask: Mask, options: EncodeOptions): Promise<Uint8Array<ArrayBuffer>> {
  refuseOversize(mask, options.format);
  if (options.format === "png") return encodeMask(mask);
  const data = new Uint8Array(mask.data.length * 4);
  for (let i = 0, to = 0; i < mask.data.length; i++, to += 4) data.fill(mask.data[i], to, to + 3)[to + 3] = 255;
  return await encode({ ...mask, data }, options);
}

function refuseOversize({ width, height }: { width: number; height: number }, format: EncodeOptions["format"]): void {
  const largest = LARGEST_SIDE[format];
  if (width <= largest && height <= largest) return;
  throw new ImageError(
    "image_too_large",
    `the result is ${width}×${height}; ${format} holds at most ${largest} pixels a side: choose another format or a size`,
  );
}

/** What jSquash's encoders take; a class `ImageData` is not to be had everywhere, and they only read these members. */
function imageData({ data, width, height }: Pixels): ImageData {
  const clamped = new Uint8ClampedArray(data.buffer, data.byteOffset, data.byteLength);
  return { data: clamped, width, height, colorSpace: "srgb" } as ImageData;
}

/** A PNG file (grayscale, 8 bits) of a mask at its own resolution, small enough to keep for every image. */
export function encodeMask({ data, width, height }: Mask): Uint8Array<ArrayBuffer> {
  return writePng(data, width, height, "gray");
}

/**
 * The mask in a PNG file made by {@link encodeMask}.
 * @throws {Error} where it is no PNG.
 */
export function decodeMask(file: Uint8Array<ArrayBuffer>): Mask {
  const { data, width, height } = PNG.sync.read(asBuffer(file));
  const gray = new Uint8Array(width * height);
  for (let i = 0; i < gray.length; i++) gray[i] = data[i * 4];
  return { data: gray, width, height };
}
