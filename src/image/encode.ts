import { Buffer } from "node:buffer";
import mozjpegEncoder from "@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm" with { type: "bytes" };
import encodeMozjpeg, { init as initMozjpeg } from "@jsquash/jpeg/encode.js";
import webpEncoder from "@jsquash/webp/codec/enc/webp_enc_simd.wasm" with { type: "bytes" };
import encodeWebp, { init as initWebp } from "@jsquash/webp/encode.js";
import { zipSync } from "fflate";
// @ts-types="@types/pngjs"
import { PNG } from "pngjs";
import { ImageError } from "../base/errors.ts";
import type { Size } from "../base/layout.ts";
import type { Density, Mask, Pixels } from "../base/pixels.ts";
import srgb from "./colour/srgb.icc" with { type: "bytes" };
import { asBuffer } from "./formats/format.ts";
import { wasmCodec } from "./formats/wasm_codec.ts";
import { writePng } from "./png_writer.ts";
import type { PngChunk } from "./formats/png_chunks.ts";

const mozjpeg = wasmCodec({ binary: mozjpegEncoder, init: initMozjpeg, run: encodeMozjpeg });
const webp = wasmCodec({ binary: webpEncoder, init: initWebp, run: encodeWebp });

/** The longest side that a format can hold, in pixels. */
const MAX_SIDE = { png: 2 ** 31 - 1, webp: 16383, jpeg: 65535 };

/** The earliest time of a ZIP file (APPNOTE.TXT 4.4.6). A constant, so that equal results are equal files. */
const ZIP_EPOCH = new Date(1980, 0, 1);

export interface EncodeOptions {
  readonly format: "png" | "webp" | "jpeg";
  /** 1 to 100, for WebP (100: lossless) and JPEG; 90 by default. */
  readonly quality?: number;
  /** Kept in PNG and JPEG. */
  readonly density?: Density;
}

/**
 * Encodes an image, which is in sRGB: PNG and JPEG say so, WebP without a profile means it. JPEG keeps the colours as they are and drops alpha.
 * @throws {ImageError} `image_too_large` if the format cannot hold the image.
 */
export async function encode(
  image: Pixels,
  { format, quality = 90, density }: EncodeOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  refuseOversize(image, format);
  if (format === "png") return writePng(image.data, image.width, image.height, "rgba", pngMetadata(density));
  if (format === "jpeg") {
    return withProfile(withDensity(new Uint8Array(await mozjpeg(imageData(image), { quality })), density));
  }
  const lossless = quality === 100;
  // Method 2 of 6 takes a third of the default's time for files 3 % larger. `exact` is off: it keeps invisible colours.
  return new Uint8Array(
    await webp(imageData(image), lossless ? { lossless: 1, quality: 50, method: 2 } : { quality, method: 2 }),
  );
}

/** The PNG chunks for the colour space and, if it is known, the resolution (PNG, third edition, 11.3.2.5 and 11.3.4.3). */
function pngMetadata(density: Density | undefined): PngChunk[] {
  const PERCEPTUAL = 0;
  const colourSpace: PngChunk = ["sRGB", Uint8Array.of(PERCEPTUAL)];
  if (density === undefined) return [colourSpace];
  const METRE = 1;
  const resolution = new DataView(new ArrayBuffer(9));
  resolution.setUint32(0, Math.round(density.x / 0.0254));
  resolution.setUint32(4, Math.round(density.y / 0.0254));
  resolution.setUint8(8, METRE);
  return [colourSpace, ["pHYs", new Uint8Array(resolution.buffer)]];
}

/** The end of the JFIF segment (ITU-T T.871, 10.1) with which mozjpeg's files begin; the resolution is in it. */
const JFIF_END = 20;

/** Sets the resolution of a JPEG file, in place. */
function withDensity(file: Uint8Array<ArrayBuffer>, density: Density | undefined): Uint8Array<ArrayBuffer> {
  if (density === undefined) return file;
  const INCH = 1;
  const view = new DataView(file.buffer, file.byteOffset);
  view.setUint8(13, INCH);
  view.setUint16(14, Math.round(density.x));
  view.setUint16(16, Math.round(density.y));
  return file;
}

/** Adds the profile of sRGB to a JPEG file (ICC.1:2022, B.4): programs differ in how they show files without one. */
function withProfile(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode("ICC_PROFILE\0\x01\x01");
  const length = 2 + name.length + srgb.length;
  const segment = [Uint8Array.of(0xff, 0xe2, length >> 8, length & 255), name, srgb];
  return new Uint8Array(Buffer.concat([file.subarray(0, JFIF_END), ...segment, file.subarray(JFIF_END)]));
}

/**
 * Encodes an image as a ZIP file: its colours as `color.jpg` and its alpha as `alpha.png`. Both are stored, because
 * neither compresses any further.
 * @throws {ImageError} `image_too_large` if JPEG cannot hold the image.
 */
export async function encodeZip(
  image: Pixels,
  options: Pick<EncodeOptions, "quality" | "density">,
): Promise<Uint8Array<ArrayBuffer>> {
  const colour = await encode(image, { format: "jpeg", ...options });
  const files = { "color.jpg": colour, "alpha.png": encodeMask(alphaOf(image)) };
  return zipSync(files, { level: 0, mtime: ZIP_EPOCH }) as Uint8Array<ArrayBuffer>;
}

/** The alpha of an image, as a mask of the same size. */
export function alphaOf({ data, width, height }: Pixels): Mask {
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = data[i * 4 + 3];
  return { data: alpha, width, height };
}

/**
 * Encodes a mask: grayscale, 8 bits.
 * @throws {ImageError} `image_too_large` if the format cannot hold the mask.
 */
export async function encodeGray(mask: Mask, options: EncodeOptions): Promise<Uint8Array<ArrayBuffer>> {
  refuseOversize(mask, options.format);
  if (options.format === "png") return encodeMask(mask);
  const data = new Uint8Array(mask.data.length * 4);
  for (let i = 0, to = 0; i < mask.data.length; i++, to += 4) data.fill(mask.data[i], to, to + 3)[to + 3] = 255;
  return await encode({ ...mask, data }, options);
}

function refuseOversize({ width, height }: Size, format: EncodeOptions["format"]): void {
  const maxSide = MAX_SIDE[format];
  if (width <= maxSide && height <= maxSide) return;
  throw new ImageError(
    "image_too_large",
    `the result is ${width}×${height} pixels; ${format} allows at most ${maxSide} per side: choose another format or a smaller size`,
  );
}

/** The input of jSquash's encoders. They read only these members; not every runtime has the class `ImageData`. */
function imageData({ data, width, height }: Pixels): ImageData {
  const clamped = new Uint8ClampedArray(data.buffer, data.byteOffset, data.byteLength);
  return { data: clamped, width, height, colorSpace: "srgb" } as ImageData;
}

/** Encodes a mask at its own resolution as PNG (grayscale, 8 bits), small enough to cache for every image. */
export function encodeMask({ data, width, height }: Mask): Uint8Array<ArrayBuffer> {
  return writePng(data, width, height, "gray");
}

/**
 * Decodes a mask from a PNG file of {@link encodeMask}.
 * @throws {Error} if the file is not a PNG.
 */
export function decodeMask(file: Uint8Array<ArrayBuffer>): Mask {
  const { data, width, height } = PNG.sync.read(asBuffer(file));
  const gray = new Uint8Array(width * height);
  for (let i = 0; i < gray.length; i++) gray[i] = data[i * 4];
  return { data: gray, width, height };
}
