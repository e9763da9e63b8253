import { ImageError } from "../../base/errors.ts";
import type { Size } from "../../base/layout.ts";
import { CMYK_GRID, type Grid, nodesOf } from "../colour/grid.ts";
import srgb from "../colour/srgb.icc" with { type: "bytes" };
import type { ColourTag } from "../colour/tag.ts";
import { type Bytes, type DecodedFile, type Decoder, placeOnCanvas } from "./format.ts";
import { toDensity } from "./exif.ts";

/*
 * ImageMagick in WebAssembly, for the formats that no smaller decoder reads correctly. It is 15 MB of code, so it is loaded
 * with the first file that needs it, which takes about 0.15 s.
 */

type Magick = typeof import("@imagemagick/magick-wasm");
type MagickImage = import("@imagemagick/magick-wasm").IMagickImage;

/** The formats that it may read. It does not choose one by the bytes, because some of its formats run commands. */
export type MagickFormat = "AVIF" | "BMP" | "GIF" | "HEIC" | "JPEG" | "JXL" | "TIFF";

/** The most memory that it may use, in bytes. An image of 50 megapixels needs about 500 MB. */
const MAX_MEMORY = 1_500_000_000n;
const MAX_SIDE = 65_535n;

let magick: Magick | undefined;
/** Dropped when garbage is collected: it is large, and compiling it again takes about 0.1 s. */
let compiled: WeakRef<WebAssembly.Module> | undefined;

/** The memory that it occupies once it has been used, in bytes. */
export const MAGICK_BYTES = 90_000_000;

export function isMagickLoaded(): boolean {
  return magick !== undefined;
}

let lastUse: Promise<unknown> = Promise.resolve();

/** Runs `use` with an instance of its own, after earlier uses: the library has one current instance. */
function withMagick<T>(use: (magick: Magick) => T): Promise<T> {
  const result = lastUse.then(() => withInstance(use));
  lastUse = result.catch(() => {});
  return result;
}

/**
 * Each use has a fresh instance, because the memory of an instance never shrinks and a damaged file may leave it in any
 * state. That takes about 10 ms.
 */
async function withInstance<T>(use: (magick: Magick) => T): Promise<T> {
  magick ??= await import("@imagemagick/magick-wasm");
  let module = compiled?.deref();
  if (module === undefined) {
    const { default: binary } = await import("@imagemagick/magick-wasm/magick.wasm", { with: { type: "bytes" } });
    module = await WebAssembly.compile(binary);
    compiled = new WeakRef(module);
  }
  // The library makes an instance only if there is none, and has no function to drop one.
  const holder = magick.ImageMagick as unknown as { _api?: unknown };
  holder._api = undefined;
  await magick.initializeImageMagick(module);
  try {
    const { ResourceLimits } = magick;
    [ResourceLimits.width, ResourceLimits.height] = [MAX_SIDE, MAX_SIDE];
    [ResourceLimits.memory, ResourceLimits.maxMemoryRequest] = [MAX_MEMORY, MAX_MEMORY];
    ResourceLimits.disk = 0n;
    return use(magick);
  } finally {
    holder._api = undefined;
  }
}

/** Decodes the first picture of a file in one of ImageMagick's formats. */
export function magickDecoder(format: MagickFormat): Decoder {
  return async (bytes, checkSize, enough) => {
    try {
      return await withMagick((magick) => decode(magick, format, bytes, checkSize, enough));
    } catch (error) {
      throw magick !== undefined && error instanceof magick.MagickError ? explained(format, error) : error;
    }
  };
}

/** Turns an error of ImageMagick, which ends with a place in its source, into one for the client. */
function explained(format: MagickFormat, error: Error): Error {
  const reason = error.message.split(/ ?`| @ /)[0].trim();
  if (/not configured|unsupported (feature|codec)|compression .*not supported|delegate/i.test(reason)) {
    const advice = "save the image with other settings, or as PNG";
    return new ImageError(
      "unsupported_format",
      `${format} images of this kind are not supported (${reason}): ${advice}`,
    );
  }
  return new Error(MISSING_DATA.test(reason) ? "the file ends before its last row" : reason, { cause: error });
}

const MISSING_DATA = /read error|premature end|unexpected ?end|not enough|insufficient|truncated/i;

function decode(
  magick: Magick,
  format: MagickFormat,
  bytes: Bytes,
  checkSize: (size: Size) => void,
  enough: (size: Size) => Size | undefined = () => undefined,
): DecodedFile {
  const settings = new magick.MagickReadSettings({ format, frameIndex: 0, frameCount: 1 });
  const header = magick.MagickImageInfo.create(bytes, settings);
  checkSize(header);
  const size = enough(header);
  // libjpeg leaves out what a half, a quarter or an eighth of the size does not show.
  if (size !== undefined) settings.setDefine("jpeg:size", `${size.width}x${size.height}`);
  const image = magick.MagickImage.create();
  try {
    image.onWarning = ({ error }) => {
      // Others are of tags that nobody needs.
      if (MISSING_DATA.test(error.message) || /corrupt/i.test(error.message)) throw error;
    };
    image.read(bytes, settings);
    checkSize(image);
    return toPixels(magick, format, image);
  } finally {
    image.dispose();
  }
}

function toPixels(magick: Magick, format: MagickFormat, image: MagickImage): DecodedFile {
  // A copy: it is a view of all of the instance's memory.
  const profile = image.getColorProfile()?.data.slice() as Bytes | undefined;
  const colour = inRgb(magick, image, profile);
  const { width, height, page, orientation } = image;
  const pixels = { data: bytesOf(image, colour?.kind === "inks" ? "CMYK" : "RGBA"), width, height };
  const density = densityOf(magick, image);
  if (format !== "GIF") return { ...pixels, colour, orientation, density };
  const [x, y] = [page.x, page.y];
  // As browsers do: a screen that is smaller than its frame grows.
  return placeOnCanvas(pixels, {
    x,
    y,
    width: Math.max(page.width, x + width),
    height: Math.max(page.height, y + height),
  });
}

/** Makes other colour spaces RGB, except for CMYK with a profile; returns the tag of what is still to be applied. */
function inRgb(magick: Magick, image: MagickImage, profile: Bytes | undefined): ColourTag | undefined {
  const { ColorSpace } = magick;
  const { colorSpace } = image;
  const colours = profile && colorSpace === ColorSpace.CMYK ? tryToSample(magick, profile) : undefined;
  if (colours !== undefined) return { kind: "inks", colours, alpha: image.hasAlpha ? bytesOf(image, "A") : undefined };
  const isPlain = colorSpace === ColorSpace.sRGB || colorSpace === ColorSpace.Gray;
  if (!isPlain) image.colorSpace = ColorSpace.sRGB;
  return isPlain && profile !== undefined ? { kind: "icc", profile } : undefined;
}

function tryToSample(magick: Magick, profile: Bytes): Bytes | undefined {
  try {
    return sample(magick, profile, CMYK_GRID);
  } catch {
    return undefined;
  }
}

/**
 * The colours of a grid in sRGB, by a profile that has tables.
 * @throws {Error} if the profile is damaged or for another kind of picture.
 */
export function sampleProfile(profile: Bytes, grid: Grid): Promise<Bytes> {
  return withMagick((magick) => sample(magick, profile, grid));
}

/**
 * LittleCMS: relative colorimetric, with black point compensation. In floating point (`HighRes`) it calculates each colour;
 * otherwise it would make tables first, which takes about 0.1 s.
 */
function sample(magick: Magick, profile: Bytes, grid: Grid): Bytes {
  const { ColorProfile, ColorTransformMode, ImageMagick, MagickReadSettings, RenderingIntent } = magick;
  const { channels, side } = grid;
  const size = { width: side ** 2, height: side ** (channels - 2) };
  const settings = new MagickReadSettings({ ...size, format: channels === 4 ? "CMYK" : "RGBA", depth: 8 });
  return ImageMagick.read(nodesOf(grid), settings, (image) => {
    image.renderingIntent = RenderingIntent.Relative;
    image.blackPointCompensation = true;
    if (!image.transformColorSpace(new ColorProfile(profile), new ColorProfile(srgb), ColorTransformMode.HighRes)) {
      throw new Error("the profile cannot be applied");
    }
    const colours = bytesOf(image);
    // Paper becomes white, as in LittleCMS's own tables: profiles are rounded.
    if (channels === 4) colours.fill(255, 0, 4);
    return colours;
  });
}

function bytesOf(image: MagickImage, channels: "RGBA" | "CMYK" | "A" = "RGBA"): Bytes {
  return image.getPixels((pixels) => pixels.toByteArray(0, 0, image.width, image.height, channels)) as Bytes;
}

function densityOf({ DensityUnit }: Magick, { density: { x, y, units } }: MagickImage): DecodedFile["density"] {
  if (units === DensityUnit.Undefined) return undefined;
  return toDensity(x, y, units === DensityUnit.PixelsPerCentimeter ? 2.54 : 1);
}
