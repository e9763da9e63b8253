import type { Chromaticities, ColourTag } from "./tag.ts";
import { type ColourModel, decodeSrgb, encodeSrgb, sampled } from "./model.ts";
import { SRGB, toLinearSrgb } from "./matrix.ts";

const D65 = SRGB.white;
const C: [number, number] = [0.31, 0.316];

/** ITU-T H.273, table 2; anything else counts as sRGB. */
const PRIMARIES: Record<number, Chromaticities> = {
  4: { white: C, red: [0.67, 0.33], green: [0.21, 0.71], blue: [0.14, 0.08] },
  5: { white: D65, red: [0.64, 0.33], green: [0.29, 0.6], blue: [0.15, 0.06] },
  6: { white: D65, red: [0.63, 0.34], green: [0.31, 0.595], blue: [0.155, 0.07] },
  7: { white: D65, red: [0.63, 0.34], green: [0.31, 0.595], blue: [0.155, 0.07] },
  8: { white: C, red: [0.681, 0.319], green: [0.243, 0.692], blue: [0.145, 0.049] },
  9: { white: D65, red: [0.708, 0.292], green: [0.17, 0.797], blue: [0.131, 0.046] },
  11: { white: [0.314, 0.351], red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06] },
  12: { white: D65, red: [0.68, 0.32], green: [0.265, 0.69], blue: [0.15, 0.06] },
};

/**
 * ITU-T H.273, table 3. Camera curves of video (1, 6, 14, 15) are shown on the same displays as sRGB, so they count as
 * sRGB, like anything else that is not listed.
 */
const TRANSFERS: Record<number, (value: number) => number> = {
  4: (x) => x ** 2.2,
  5: (x) => x ** 2.8,
  8: (x) => x,
  16: (x) => toneMapped(perceptualQuantizer(x)),
  17: (x) => x ** 2.6 * 52.37 / 48,
  18: (x) => toneMapped(hybridLogGamma(x)),
};

/** The white of a page beside HDR pictures, in cd/m² (ITU-R BT.2408). */
const REFERENCE_WHITE = 203;
/** What HDR pictures are mastered for, in the same unit. */
const PEAK = 1000;

/** The model of code points of ITU-T H.273; undefined if they mean sRGB. */
export function modelOfCodePoints({ primaries, transfer }: ColourTag & { kind: "cicp" }): ColourModel | undefined {
  if (!(primaries in PRIMARIES) && !(transfer in TRANSFERS)) return undefined;
  const curve = sampled(TRANSFERS[transfer] ?? decodeSrgb);
  const matrix = toLinearSrgb(PRIMARIES[primaries] ?? SRGB);
  return { curves: [curve, curve, curve], matrix, encode: encodeSrgb };
}

/**
 * The model of PNG's `gAMA` and `cHRM`, encoded for a display of gamma 2.2, which is what the PNG specification (third
 * edition, 13.13) asks for; undefined for the values that stand for sRGB.
 */
export function modelOfGamma({ gamma, chromaticities = SRGB }: ColourTag & { kind: "gamma" }): ColourModel | undefined {
  const given = Object.values(chromaticities).flat();
  const isSrgb = Object.values(SRGB).flat().every((value, i) => Math.abs(value - given[i]) < 0.005);
  if (isSrgb && Math.abs(gamma * DISPLAY_GAMMA - 1) < 0.02) return undefined;
  const curve = sampled((x) => x ** (1 / gamma));
  return { curves: [curve, curve, curve], matrix: toLinearSrgb(chromaticities), encode: encodeForDisplay };
}

const DISPLAY_GAMMA = 2.2;

function encodeForDisplay(light: number): number {
  return light ** (1 / DISPLAY_GAMMA);
}

/** SMPTE ST 2084, in cd/m². */
function perceptualQuantizer(value: number): number {
  const [m1, m2, c1, c2, c3] = [2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128];
  const power = value ** (1 / m2);
  return 10_000 * (Math.max(0, power - c1) / (c2 - c3 * power)) ** (1 / m1);
}

/** ITU-R BT.2100, as a display of 1000 cd/m² shows it, its gamma of 1.2 for each channel by itself. */
function hybridLogGamma(value: number): number {
  const [a, b, c] = [0.17883277, 0.28466892, 0.55991073];
  const scene = value <= 0.5 ? value ** 2 / 3 : (Math.exp((value - c) / a) + b) / 12;
  return PEAK * scene ** 1.2;
}

/** Light in cd/m² as a part of white: dark and middle tones as they are, what is brighter bent so that the peak is white. */
function toneMapped(luminance: number): number {
  const KNEE = 0.5;
  const light = luminance / REFERENCE_WHITE;
  if (light <= KNEE) return light;
  // x / (1 + k·x) beyond the knee, with a slope of 1 there, and 1 at the peak.
  const [room, reach, beyond] = [1 - KNEE, PEAK / REFERENCE_WHITE - KNEE, light - KNEE];
  return KNEE + beyond / (1 + beyond * (1 / room - 1 / reach));
}
