import type { Size } from "./layout.ts";

/** An image's resolution in dots per inch. */
export interface Density {
  readonly x: number;
  readonly y: number;
}

/** A decoded image, upright and in sRGB. `data`: height×width×4, RGBA, 0–255; colours are not multiplied by alpha. */
export interface Pixels extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
  /** The resolution that the file declares, for the files made of it. */
  readonly density?: Density;
  /** The size of the image in its file, if it was decoded at a smaller one. */
  readonly fullSize?: Size;
}

/** How much of each pixel belongs to the subject. `data`: height×width, 0 (background) to 255 (subject). */
export interface Mask extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
}
