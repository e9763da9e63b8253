import { defaultFormats, PNGColorType, PNGFilterType } from "jimp";
import { Buffer } from "node:buffer";
import type { Mask, Pixels } from "./steps.ts";

const png = defaultFormats.map((make) => make()).find((format) => format.mime === "image/png")!;

/**
 * Level 3 with the `up` filter: over photographs cut out, within 2 % of the size of level 9 with all filters tried, in a
 * sixth of its time.
 */
const FAST_PNG = { deflateLevel: 3, deflateStrategy: 0, filterType: PNGFilterType.UP } as const;

/** A PNG file (RGBA, 8 bits) of an image. */
export async function encodePng({ data, width, height }: Pixels): Promise<Uint8Array<ArrayBuffer>> {
  const bitmap = { data: Buffer.from(data.buffer, data.byteOffset, data.byteLength), width, height };
  return asBytes(await png.encode(bitmap, FAST_PNG));
}

/** A PNG file (grayscale, 8 bits) of a mask at its own resolution, small enough to keep for every image. */
export async function encodeMask({ data, width, height }: Mask): Promise<Uint8Array<ArrayBuffer>> {
  const bitmap = { data: Buffer.from(data.buffer, data.byteOffset, data.byteLength), width, height };
  const gray = { colorType: PNGColorType.GRAYSCALE, inputColorType: PNGColorType.GRAYSCALE, inputHasAlpha: false };
  return asBytes(await png.encode(bitmap, { ...FAST_PNG, ...gray }));
}

/**
 * The mask in a PNG file made by {@link encodeMask}.
 * @throws {Error} where it is no PNG.
 */
export async function decodeMask(file: Uint8Array<ArrayBuffer>): Promise<Mask> {
  const { data, width, height } = await png.decode(Buffer.from(file.buffer, file.byteOffset, file.byteLength));
  const gray = new Uint8Array(width * height);
  for (let i = 0; i < gray.length; i++) gray[i] = data[i * 4];
  return { data: gray, width, height };
}

/** Buffers of Node.js may be a window on a larger one, which would be sent and kept along. */
function asBytes(buffer: Buffer): Uint8Array<ArrayBuffer> {
  return buffer.byteLength === buffer.buffer.byteLength
    ? new Uint8Array(buffer.buffer as ArrayBuffer)
    : new Uint8Array(buffer);
}
