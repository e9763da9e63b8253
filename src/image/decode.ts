import { imageSize } from "image-size";
import { ImageError } from "../base/errors.ts";
import { checkContainer, decodeAvif } from "./formats/avif.ts";
import { type Bytes, type Header, jimpDecoder } from "./formats/format.ts";
import { decodeGif } from "./formats/gif.ts";
import { decodeJpeg, readJpeg } from "./formats/jpeg.ts";
import { decodePng } from "./formats/png.ts";
import { decodeTiff, readTiffHeader } from "./formats/tiff.ts";
import { decodeWebp } from "./formats/webp.ts";
import type { Pixels } from "../base/pixels.ts";

export interface DecodeLimits {
  /** The most pixels (width × height) that are decoded. */
  maxPixels: number;
}

type Decoder = (bytes: Bytes, limits: DecodeLimits) => Promise<Pixels>;

/** The longest side that is decoded, in pixels: decoders take a row at a time, and a column of millions of them for ever. */
const LONGEST_SIDE = 65_535;

const decoders: Record<string, Decoder> = {
  jpg: decodeJpeg,
  png: decodePng,
  webp: (bytes, limits) => decodeWebp(bytes, (frame) => refuseOversize(readHeader(frame), limits)),
  avif: decodeAvif,
  // AVIF files may also give the general brand of their container.
  mif1: decodeAvif,
  gif: decodeGif,
  bmp: jimpDecoder("image/bmp"),
  tiff: decodeTiff,
};

/** The formats that {@link decode} takes, for messages and documentation. */
export const SUPPORTED_FORMATS = ["JPEG", "PNG", "WebP", "AVIF", "GIF", "BMP", "TIFF"];

/**
 * Decodes an image by its content, whatever it was called, and turns it upright. Of an animation it is the first frame.
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
    image = await decoder(bytes, limits);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    // WebAssembly throws numbers and objects that say nothing.
    const reason = error instanceof Error ? `: ${error.message.slice(0, 200)}` : "";
    throw new ImageError("invalid_image", `the image is damaged${reason}`, { cause: error });
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
  if (Math.max(width, height) > LONGEST_SIDE) {
    throw new ImageError(
      "image_too_large",
      `the image is ${width}×${height}; a side has at most ${LONGEST_SIDE} pixels`,
    );
  }
}

function readHeader(bytes: Bytes): Header {
  let header: Header;
  try {
    header = readJpeg(bytes) ?? readTiffHeader(bytes) ?? readOtherHeader(bytes);
  } catch (error) {
    throw new ImageError("invalid_image", "the bytes are no image, or its header is damaged", { cause: error });
  }
  if (!(header.width > 0 && header.height > 0)) throw new ImageError("invalid_image", "the image has no pixels");
  return header;
}

function readOtherHeader(bytes: Bytes): Header {
  checkContainer(bytes);
  const { type = "unknown", width, height, orientation = 1 } = imageSize(bytes);
  return { type, width, height, orientation };
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
