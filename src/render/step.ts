import type { Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import type { RenderOptions } from "./options.ts";

/** What every step of a rendering may read. */
export interface RenderContext {
  /** The decoded image. The cutout takes over its pixels, so only the steps before that may read them. */
  readonly image: Pixels;
  /** The size of the model's mask, before it was upsampled to the image's size. */
  readonly maskSize: Size;
  readonly options: RenderOptions;
  /** A result with more pixels is refused. */
  readonly maxPixels: number;
  /** The background picture, at any size. */
  readonly picture?: Pixels;
}

/**
 * A step of a rendering: returns its input, changed if the options ask for it. It may change the input in place, so the
 * caller uses only the result.
 */
export type Step<Input> = (input: Input, context: RenderContext) => Input;
