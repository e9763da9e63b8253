/** CIE 1931 x and y of a display's white and its three primaries. */
export interface Chromaticities {
  readonly white: readonly [x: number, y: number];
  readonly red: readonly [x: number, y: number];
  readonly green: readonly [x: number, y: number];
  readonly blue: readonly [x: number, y: number];
}

/** How a file says what its numbers stand for. */
export type ColourTag =
  /** An ICC profile (ICC.1:2022). */
  | { readonly kind: "icc"; readonly profile: Uint8Array<ArrayBuffer> }
  /** Pixels are CMYK. `colours` are those of `CMYK_GRID` in sRGB; `alpha` is a byte for each pixel, or all are opaque. */
  | { readonly kind: "inks"; readonly colours: Uint8Array; readonly alpha?: Uint8Array }
  /** Code points of ITU-T H.273, as in PNG's `cICP` and the `nclx` of AVIF and HEIC. */
  | { readonly kind: "cicp"; readonly primaries: number; readonly transfer: number }
  /** PNG's `gAMA` and `cHRM`: a sample is light to the power of `gamma`. */
  | { readonly kind: "gamma"; readonly gamma: number; readonly chromaticities?: Chromaticities };

/** A larger profile is ignored, in bytes. Those of printing presses take some 2 MB. */
export const MAX_PROFILE_BYTES = 8_388_608;
