import mozjpegDecoder from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm" with { type: "bytes" };
import decodeMozjpeg, { init as initMozjpeg } from "@jsquash/jpeg/decode.js";
import { imageSize } from "image-size";
import { defaultFormats } from "jimp";
import { Buffer } from "node:buffer";
import { ImageError } from "./errors.ts";
import type { Pixels } from "./steps.ts";

export interface DecodeLimits {
  /** The most pixels (width × height) that are decoded. */
  maxPixels: number;
}

/** What the header says, before any pixel is decoded. */
interface Header {
  /** A name of image-size's: `jpg`, `png`, `gif`, … */
  readonly type: string;
  readonly width: number;
  readonly height: number;
  /** 1 to 8, as EXIF counts (CIPA DC-008, "Orientation"). */
  readonly orientation: number;
}

type Decoder = (bytes: Uint8Array<ArrayBuffer>) => Promise<Pixels>;

const decoders: Record<string, Decoder> = {
  jpg: decodeJpeg,
  png: jimpDecoder("image/png"),
  gif: jimpDecoder("image/gif"),
  bmp: jimpDecoder("image/bmp"),
  tiff: jimpDecoder("image/tiff"),
};

/** The formats that {@link decode} takes, for messages and documentation. */
export const SUPPORTED_FORMATS = ["JPEG", "PNG", "GIF", "BMP", "TIFF"];

/**
 * Decodes an image by its content, whatever it was called, and turns it upright.
 * @throws {ImageError} `invalid_image`, `unsupported_format`, or, before a pixel is decoded, `image_too_large`.
 */
export async function decode(bytes: Uint8Array<ArrayBuffer>, limits: DecodeLimits): Promise<Pixels> {
  const header = readHeader(bytes);
  const decoder = decoders[header.type];
  if (decoder === undefined) {
    throw new ImageError(
      "unsupported_format",
      `${header.type.toUpperCase()} images are not supported; send one of ${SUPPORTED_FORMATS.join(", ")}`,
    );
  }
  refuseOversize(header, limits);
  let image: Pixels;
  try {
    image = await decoder(bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ImageError("invalid_image", `the image is damaged: ${reason.slice(0, 200)}`, { cause: error });
  }
  const { width, height, data } = image;
  // A file may say one size in its header and hold another.
  refuseOversize(image, limits);
  if (!(width > 0 && height > 0) || data.length !== width * height * 4) {
    throw new ImageError("invalid_image", "the image is damaged: it holds fewer pixels than its header says");
  }
  return upright(image, header.orientation);
}

function refuseOversize({ width, height }: { width: number; height: number }, { maxPixels }: DecodeLimits): void {
  if (width * height > maxPixels) {
    throw new ImageError(
      "image_too_large",
      `the image has ${width}×${height} = ${width * height} pixels; at most ${maxPixels} are allowed`,
    );
  }
}

function readHeader(bytes: Uint8Array): Header {
  let size: ReturnType<typeof imageSize>;
  try {
    size = imageSize(bytes);
  } catch (error) {
    throw new ImageError("invalid_image", "the bytes are no image, or its header is damaged", { cause: error });
  }
  const { type = "unknown", width, height, orientation = 1 } = size;
  if (!(width > 0 && height > 0)) throw new ImageError("invalid_image", "the image has no pixels");
  return { type, width, height, orientation };
}

/** mozjpeg is four times faster than jimp's own decoder, and upsamples chroma smoothly. It does not know CMYK. */
async function decodeJpeg(bytes: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  if (jpegComponents(bytes) === 4) return await jimpDecoder("image/jpeg")(bytes);
  mozjpegModule ??= await WebAssembly.compile(mozjpegDecoder);
  // A new instance for each image: its memory never shrinks, and a damaged file may leave it in any state.
  await initMozjpeg(mozjpegModule);
  const { data, width, height } = await decodeMozjpeg(exactBuffer(bytes));
  return { data: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength), width, height };
}

let mozjpegModule: WebAssembly.Module | undefined;

/** The number of colour components in the frame header (ITU-T T.81, B.2.2), 0 where there is none. */
function jpegComponents(bytes: Uint8Array): number {
  let at = 2;
  while (at + 9 < bytes.length) {
    if (bytes[at] !== 0xff) return 0;
    const marker = bytes[at + 1];
    if (marker === 0xff) at++; // fill byte
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return bytes[at + 9];
    } else at += 2 + ((bytes[at + 2] << 8) | bytes[at + 3]);
  }
  return 0;
}

function jimpDecoder(mime: string): Decoder {
  const format = defaultFormats.map((make) => make()).find((format) => format.mime === mime)!;
  return async (bytes) => {
    const bitmap = await format.decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const data = new Uint8Array(bitmap.data.buffer as ArrayBuffer, bitmap.data.byteOffset, bitmap.data.byteLength);
    return { data: data.byteOffset % 4 === 0 ? data : data.slice(), width: bitmap.width, height: bitmap.height };
  };
}

function exactBuffer(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** Applies the EXIF orientation, so that what was up for the photographer is up. */
function upright(image: Pixels, orientation: number): Pixels {
  if (orientation < 2 || orientation > 8) return image;
  const { width, height } = image;
  const from = new Uint32Array(image.data.buffer, image.data.byteOffset, width * height);
  const to = new Uint32Array(width * height);
  // Where the first stored pixel lands and how far apart its neighbours across and down land, in pixels.
  const swapped = orientation > 4;
  const outputWidth = swapped ? height : width;
  const outputHeight = swapped ? width : height;
  const mirrored = [2, 3, 7, 6].includes(orientation);
  const flipped = [3, 4, 7, 8].includes(orientation);
  const acrossStep = mirrored ? -1 : 1;
  const downStep = flipped ? -outputWidth : outputWidth;
  const first = (mirrored ? outputWidth - 1 : 0) + (flipped ? (outputHeight - 1) * outputWidth : 0);
  const [xStep, yStep] = swapped ? [downStep, acrossStep] : [acrossStep, downStep];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0, target = first + y * yStep; x < width; x++, target += xStep) to[target] = from[at++];
  }
  return { data: new Uint8Array(to.buffer), width: outputWidth, height: outputHeight };
}
