import avifDecoder from "@jsquash/avif/codec/dec/avif_dec.wasm" with { type: "bytes" };
import decodeStill, { init } from "@jsquash/avif/decode.js";
import type { Pixels } from "../../base/pixels.ts";
import { wasmCodec } from "./wasm_codec.ts";
import { asBuffer, asPixels, type Bytes, type DecodedImage, exactBuffer } from "./format.ts";

/** AVIF files have a few sizes. For each, image-size searches the whole file. */
const MAX_SIZES = 64;

const libavif = wasmCodec({ binary: avifDecoder, init, run });

/**
 * Decodes an AVIF file; only the first image of a sequence.
 * @throws {Error} if the file is damaged.
 */
export async function decodeAvif(bytes: Bytes): Promise<Pixels> {
  return asPixels(await libavif(exactBuffer(bytes)));
}

/**
 * Checks a file of AVIF's container (ISO/IEC 23008-12) for too many sizes; accepts all other files.
 * @throws {Error} if there are more sizes than an image can have.
 */
export function checkContainer(bytes: Bytes): void {
  const file = asBuffer(bytes);
  if (file.toString("latin1", 4, 8) !== "ftyp") return;
  for (let at = 0, sizes = 0; (at = file.indexOf("ispe", at)) >= 0; at += 4) {
    if (++sizes > MAX_SIZES) throw new Error(`the file declares more than ${MAX_SIZES} sizes`);
  }
}

async function run(file: ArrayBuffer): Promise<DecodedImage> {
  const image = await decodeStill(file);
  if (image === null) throw new Error("it holds no image");
  return image;
}
