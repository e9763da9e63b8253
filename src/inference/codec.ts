import { compose } from "./compose.ts";
import { decode, type DecodeLimits } from "./decode.ts";
import { decodeMask, encode, encodeGray, encodeMask } from "./encode.ts";
import { leaveGarbage } from "./garbage.ts";
import type { Manifest } from "./manifest.ts";
import type { RenderOptions } from "./render_options.ts";
import type { Operations, Output } from "./rpc.ts";
import { type Mask, type Pixels, preprocess } from "./steps.ts";

export interface DecodeInput {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly limits: DecodeLimits;
  /** Given where the image is to be inferred: whose tensor to make. */
  readonly manifest?: Manifest;
}

export interface Decoded {
  readonly pixels: Pixels;
  readonly tensor?: Float32Array<ArrayBuffer>;
  readonly decodeMs: number;
}

export interface RenderInput {
  readonly pixels: Pixels;
  /** The model's mask, or the file in which it was kept. */
  readonly mask: Mask | Uint8Array<ArrayBuffer>;
  readonly options: RenderOptions;
  readonly limits: DecodeLimits;
}

export interface Rendered {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  /** The mask as a file to keep, where it came as pixels. */
  readonly maskFile?: Uint8Array<ArrayBuffer>;
  readonly renderMs: number;
  readonly encodeMs: number;
}

/** Everything that touches an image's bytes and pixels but the model. */
export const codecOperations = {
  /** @throws {ImageError} as {@link decode} does. */
  async decode({ bytes, limits, manifest }: DecodeInput): Promise<Output<Decoded>> {
    const started = performance.now();
    const pixels = await decode(bytes, limits);
    const tensor = manifest && preprocess(pixels, manifest);
    leaveGarbage(bytes.length + 2 * pixels.data.length);
    return {
      value: { pixels, tensor, decodeMs: performance.now() - started },
      transfer: tensor ? [pixels.data.buffer, tensor.buffer] : [pixels.data.buffer],
    };
  },

  /** @throws {ImageError} `image_too_large` where the result would be. */
  async render({ pixels, mask, options, limits }: RenderInput): Promise<Output<Rendered>> {
    const started = performance.now();
    const result = compose(pixels, mask instanceof Uint8Array ? decodeMask(mask) : mask, options, limits);
    const rendered = performance.now();
    const file = options.channels === "alpha"
      ? await encodeGray(alphaOf(result), options)
      : await encode(result, options);
    const maskFile = mask instanceof Uint8Array ? undefined : encodeMask(mask);
    leaveGarbage(3 * pixels.data.length);
    const transfer = maskFile ? [file.buffer, maskFile.buffer] : [file.buffer];
    const contentType = `image/${options.format}`;
    const renderMs = rendered - started;
    const encodeMs = performance.now() - rendered;
    return { value: { file, contentType, maskFile, renderMs, encodeMs }, transfer };
  },
} satisfies Operations;

export type CodecOperations = typeof codecOperations;

function alphaOf({ data, width, height }: Pixels): Mask {
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = data[i * 4 + 3];
  return { data: alpha, width, height };
}
