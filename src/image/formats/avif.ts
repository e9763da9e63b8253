import avifDecoder from "@jsquash/avif/codec/dec/avif_dec.wasm" with { type: "bytes" };
import decodeStill, { init } from "@jsquash/avif/decode.js";
import type { Pixels } from "../../base/pixels.ts";
import { wasmCodec } from "./wasm_codec.ts";
import { asBuffer, asPixels, type Bytes, type DecodedImage, exactBuffer } from "./format.ts";

/** AVIF files have a few. image-size looks for what belongs to each through the whole file. */
const MOST_SIZES = 64;

const libavif = wasmCodec({ binary: avifDecoder, init, run });

/** Decodes an AVIF file, or the first picture of a sequence. */
export async function decodeAvif(bytes: Bytes): Promise<Pixels> {
  return asPixels(await libavif(exactBuffer(bytes)));
}

/** @throws {Error} where a file of AVIF's container (ISO/IEC 23008-12) has more sizes than images can have. */
export function checkContainer(bytes: Bytes): void {
  const file = asBuffer(bytes);
  if (file.toString("latin1", 4, 8) !== "ftyp") return;
  for (let at = 0, sizes = 0; (at = file.indexOf("ispe", at)) >= 0; at += 4) {
    if (++sizes > MOST_SIZES) throw new Error("more sizes than images can have");
  }
}

async function run(file: ArrayBuffer): Promise<DecodedImage> {
  const image = await decodeStill(file);
  if (image === null) throw new Error("no picture in it");
  return image;
}
