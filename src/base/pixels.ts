import type { Size } from "./layout.ts";

/** A picture's resolution in dots per inch. */
export interface Density {
  readonly x: number;
  readonly y: number;
}

/** A decoded image, upright, in sRGB. `data`: height×width×4, RGBA, 0–255, colours not multiplied by alpha. */
export interface Pixels extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
  /** As the file gives it, for files made of it. */
  readonly density?: Density;
}

/** The share of each pixel that belongs to the subject. `data`: height×width, 0 (background) to 255. */
export interface Mask extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
}
