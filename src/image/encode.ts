import mozjpegEncoder from "@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm" with { type: "bytes" };
import encodeMozjpeg, { init as initMozjpeg } from "@jsquash/jpeg/encode.js";
import webpEncoder from "@jsquash/webp/codec/enc/webp_enc_simd.wasm" with { type: "bytes" };
import encodeWebp, { init as initWebp } from "@jsquash/webp/encode.js";
import { zipSync } from "fflate";
// @ts-types="@types/pngjs"
import { PNG } from "pngjs";
import { ImageError } from "../base/errors.ts";
import { asBuffer } from "./formats/format.ts";
import { writePng } from "./png_writer.ts";
import type { Mask, Pixels } from "../base/pixels.ts";
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
}

/**
 * A file of an image. JPEG takes the colours as they are and forgets alpha.
 * @throws {ImageError} `image_too_large` where the format cannot hold the image.
 */
export async function encode(image: Pixels, { format, quality = 90 }: EncodeOptions): Promise<Uint8Array<ArrayBuffer>> {
  refuseOversize(image, format);
  if (format === "png") return writePng(image.data, image.width, image.height, "rgba");
  if (format === "jpeg") return new Uint8Array(await mozjpeg(imageData(image), { quality }));
  const lossless = quality === 100;
  // Method 2 of 6: a third of the default's time, for files 3 % larger. `exact` would keep colours that nobody sees.
  return new Uint8Array(
    await webp(imageData(image), lossless ? { lossless: 1, quality: 50, method: 2 } : { quality, method: 2 }),
  );
}

/**
 * A ZIP file of an image: its colours as `color.jpg` and its alpha as `alpha.png`. Both are stored as they are, since
 * neither can be made smaller.
 */
export async function encodeZip(image: Pixels, { quality }: { quality?: number }): Promise<Uint8Array<ArrayBuffer>> {
  const colour = await encode(image, { format: "jpeg", quality });
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
