import { imageSize } from "image-size";
import { ImageError } from "../base/errors.ts";
import type { Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import { checkContainer, decodeAvif } from "./formats/avif.ts";
import { type Bytes, type Header, jimpDecoder } from "./formats/format.ts";
import { decodeGif } from "./formats/gif.ts";
import { decodeJpeg, readJpeg } from "./formats/jpeg.ts";
import { decodePng } from "./formats/png.ts";
import { decodeTiff, readTiffHeader } from "./formats/tiff.ts";
import { decodeWebp } from "./formats/webp.ts";

export interface DecodeLimits {
  /** Images with more pixels (width × height) are refused. */
  maxPixels: number;
}

type Decoder = (bytes: Bytes, limits: DecodeLimits) => Promise<Pixels>;

/** In pixels. Decoders work row by row, so an image one pixel wide and millions high would take forever. */
const MAX_SIDE = 65_535;

const decoders: Record<string, Decoder> = {
  jpg: decodeJpeg,
  png: decodePng,
  webp: (bytes, limits) => decodeWebp(bytes, (frame) => refuseOversize(readHeader(frame), limits)),
  avif: decodeAvif,
  // AVIF files may also have the general brand of their container.
  mif1: decodeAvif,
  gif: decodeGif,
  bmp: jimpDecoder("image/bmp"),
  tiff: decodeTiff,
};

/** The formats that {@link decode} supports, for messages and documentation. */
export const SUPPORTED_FORMATS = ["JPEG", "PNG", "WebP", "AVIF", "GIF", "BMP", "TIFF"];

const SEND_SUPPORTED = `send one of ${SUPPORTED_FORMATS.join(", ")}`;

/**
 * Decodes an image and turns it upright. The content decides the format, not a name; of an animation, the first frame
 * counts. The size is checked before a pixel is decoded.
 * @throws {ImageError} `invalid_image`, `unsupported_format`, `image_too_large`.
 */
export async function decode(bytes: Uint8Array<ArrayBuffer>, limits: DecodeLimits): Promise<Pixels> {
  const header = readHeader(bytes);
  const decoder = decoders[header.type];
  if (decoder === undefined) {
    throw new ImageError(
      "unsupported_format",
      `${header.type.toUpperCase()} images are not supported; ${SEND_SUPPORTED}`,
    );
  }
  refuseOversize(header, limits);
  let image: Pixels;
  try {
    image = await decoder(bytes, limits);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    // WebAssembly throws numbers and objects without a message.
    const reason = error instanceof Error ? `: ${error.message.slice(0, 200)}` : "";
    throw new ImageError("invalid_image", `the image is damaged${reason}`, { cause: error });
  }
  const { width, height, data } = image;
  // The header may declare one size and the file hold another.
  refuseOversize(image, limits);
  if (!(width > 0 && height > 0) || data.length !== width * height * 4) {
    throw new ImageError("invalid_image", "the image is damaged: it holds fewer pixels than its header says");
  }
  return upright(image, header.orientation);
}

function refuseOversize({ width, height }: Size, { maxPixels }: DecodeLimits): void {
  if (width * height > maxPixels) {
    throw new ImageError(
      "image_too_large",
      `the image has ${width}×${height} = ${width * height} pixels; at most ${maxPixels} are allowed`,
    );
  }
  if (Math.max(width, height) > MAX_SIDE) {
    throw new ImageError(
      "image_too_large",
      `the image is ${width}×${height} pixels; a side may have at most ${MAX_SIDE}`,
    );
  }
}

function readHeader(bytes: Bytes): Header {
  let header: Header;
  try {
    header = readJpeg(bytes) ?? readTiffHeader(bytes) ?? readOtherHeader(bytes);
  } catch (error) {
    throw new ImageError("invalid_image", `this is not an image, or its header is damaged; ${SEND_SUPPORTED}`, {
      cause: error,
    });
  }
  if (!(header.width > 0 && header.height > 0)) throw new ImageError("invalid_image", "the image has no pixels");
  return header;
}

function readOtherHeader(bytes: Bytes): Header {
  checkContainer(bytes);
  const { type = "unknown", width, height, orientation = 1 } = imageSize(bytes);
  return { type, width, height, orientation };
}

/** Applies the EXIF orientation, so that the photographer's up is up. */
function upright(image: Pixels, orientation: number): Pixels {
  if (orientation < 2 || orientation > 8) return image;
  const { width, height } = image;
  const from = new Uint32Array(image.data.buffer, image.data.byteOffset, width * height);
  const to = new Uint32Array(width * height);
  // The target of the first stored pixel, and the distances to the targets of its right and lower neighbours, in pixels.
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
