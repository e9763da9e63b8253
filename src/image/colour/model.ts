import type { Matrix } from "./matrix.ts";

/**
 * A colour space in which each channel becomes light by itself, and the three lights add up: displays, cameras, gray.
 * Profiles of other colour spaces have tables.
 */
export interface ColourModel {
  /** 256 numbers a channel: the light of each value, 1 for white. A gray model has one channel. */
  readonly curves: readonly Float64Array[];
  /** That light to linear light of sRGB. */
  readonly matrix: Matrix;
  /** How light is encoded in the result. */
  readonly encode: (light: number) => number;
}

/** IEC 61966-2-1. */
export function encodeSrgb(light: number): number {
  return light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
}

export function decodeSrgb(value: number): number {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** A curve at the 256 values that a channel can have. */
export function sampled(curve: (value: number) => number): Float64Array {
  return Float64Array.from({ length: 256 }, (_, i) => curve(i / 255));
}
