import { ImageError } from "../../base/errors.ts";
import type { Layout, Size } from "../../base/layout.ts";
import type { Density, Mask, Pixels } from "../../base/pixels.ts";
import { collectAfter, release } from "../../base/release.ts";
import { decode, type DecodeLimits } from "../../image/decode.ts";
import { alphaOf, decodeMask, encode, encodeGray, encodeMask, encodeZip } from "../../image/encode.ts";
import { takeMask } from "../../render/from_cutout.ts";
import type { RenderOptions } from "../../render/options.ts";
import { compose } from "../../render/pipeline.ts";
import { enoughToRender } from "../../render/resize.ts";
import type { Manifest } from "../model/manifest.ts";
import { preprocess } from "../model/preprocess.ts";
import type { Operations, Output } from "../workers/rpc.ts";

export interface DecodeInput {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly limits: DecodeLimits;
  /** The model to make the tensor for; absent if the mask is known. */
  readonly manifest?: Manifest;
  /** The options of the rendering; the image is decoded at its full size if they are absent. */
  readonly options?: RenderOptions;
}

export interface Decoded {
  readonly pixels: Pixels;
  readonly tensor?: Float32Array<ArrayBuffer>;
  readonly decodeMs: number;
}

export interface RenderInput {
  readonly pixels: Pixels;
  /** The model's mask, or the file of a mask that was kept. Absent if the image is a cutout: then its alpha is the mask. */
  readonly mask?: Mask | Uint8Array<ArrayBuffer>;
  readonly options: RenderOptions;
  /** The file of the picture to put behind the subject. */
  readonly background?: Uint8Array<ArrayBuffer>;
  readonly limits: DecodeLimits;
}

export interface Rendered {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly layout: Layout;
  /** The mask as a file to keep, if it came as pixels. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  readonly renderMs: number;
  readonly encodeMs: number;
}

/** All work on an image's bytes and pixels, except for the model. */
export const imageOperations = {
  /** @throws {ImageError} as {@link decode} does. */
  async decode({ bytes, limits, manifest, options }: DecodeInput): Promise<Output<Decoded>> {
    const started = performance.now();
    const pixels = await decode(bytes, limits, options && ((size) => enoughFor(size, options, manifest)));
    const tensor = manifest && preprocess(pixels, manifest);
    // A codec leaves about twice the pixels. Counted once, memory in steady state was 5 to 20 MB higher.
    collectAfter(bytes.length + 2 * pixels.data.length);
    return {
      value: { pixels, tensor, decodeMs: performance.now() - started },
      transfer: tensor ? [pixels.data.buffer, tensor.buffer] : [pixels.data.buffer],
    };
  },

  /** @throws {ImageError} `invalid_background`, and as {@link compose} does. */
  async render({ pixels, mask, options, background, limits }: RenderInput): Promise<Output<Rendered>> {
    const started = performance.now();
    const picture = background && await decodeBackground(background, limits);
    const maskPixels = mask instanceof Uint8Array ? decodeMask(mask) : mask ?? takeMask(pixels);
    const result = compose(pixels, maskPixels, options, limits, picture);
    const rendered = performance.now();
    const { file, contentType } = await encodeAs(options, result, pixels.density);
    const maskFile = mask === undefined || mask instanceof Uint8Array ? undefined : encodeMask(mask);
    for (const { data } of [pixels, result]) release(data);
    const transfer = maskFile ? [file.buffer, maskFile.buffer] : [file.buffer];
    const { width, height, foreground } = result;
    const layout = { width, height, foreground };
    const renderMs = rendered - started;
    const encodeMs = performance.now() - rendered;
    return { value: { file, contentType, layout, maskFile, renderMs, encodeMs }, transfer };
  },
} satisfies Operations;

/** Images with fewer pixels are decoded whole: that takes no longer. */
const MIN_REDUCED_PIXELS = 8_000_000;

/** The size at which an image is large enough for its rendering and its model; undefined if only its full size is. */
function enoughFor(size: Size, options: RenderOptions, manifest?: Manifest): Size | undefined {
  if (size.width * size.height < MIN_REDUCED_PIXELS) return undefined;
  const result = enoughToRender(size, options);
  if (result === undefined || manifest === undefined) return result;
  // From twice the model's input on, the masks of photographs differ by 0.0005 on average.
  const { width, height } = manifest.input;
  const enough = { width: Math.max(result.width, 2 * width), height: Math.max(result.height, 2 * height) };
  return 2 * enough.width <= size.width && 2 * enough.height <= size.height ? enough : undefined;
}

export type ImageOperations = typeof imageOperations;

async function decodeBackground(file: Uint8Array<ArrayBuffer>, limits: DecodeLimits): Promise<Pixels> {
  try {
    return await decode(file, limits);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new ImageError("invalid_background", `the background image cannot be used: ${error.message}`, {
      cause: error,
    });
  }
}

async function encodeAs(
  { format: requested, channels, quality }: RenderOptions,
  result: Pixels,
  density: Density | undefined,
): Promise<{ file: Uint8Array<ArrayBuffer>; contentType: string }> {
  if (requested === "zip") {
    return { file: await encodeZip(result, { quality, density }), contentType: "application/zip" };
  }
  const format = requested !== "auto" ? requested : isOpaque(result) ? "jpeg" : "png";
  const file = channels === "alpha"
    ? await encodeGray(alphaOf(result), { format, quality })
    : await encode(result, { format, quality, density });
  return { file, contentType: `image/${format}` };
}

function isOpaque({ data }: Pixels): boolean {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return false;
  return true;
}
