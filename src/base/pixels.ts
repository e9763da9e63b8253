import type { Size } from "./layout.ts";

/** A decoded image, upright. `data`: height×width×4, RGBA, 0–255; colours are not multiplied by alpha. */
export interface Pixels extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
}

/** How much of each pixel belongs to the subject. `data`: height×width, 0 (background) to 255 (subject). */
export interface Mask extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
}
