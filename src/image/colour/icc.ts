import { type ColourModel, decodeSrgb, encodeSrgb, sampled } from "./model.ts";
import { d50ToLinearSrgb, type Matrix, multiply, transpose, type Vector } from "./matrix.ts";

/** What an ICC profile (ICC.1:2022) is for: the fields that decide how it is applied. */
export interface Profile {
  /** Its signature, four characters: `RGB `, `GRAY`, `CMYK`, … */
  readonly space: string;
  /** Its matrix and curves; undefined if it has tables instead, or as well. */
  readonly model?: ColourModel;
}

const HEADER_BYTES = 128;
/** Profiles have some 10 to 30 tags. */
const MAX_TAGS = 200;
/** Tables from a device to the profile's connection space, which take precedence over matrix and curves. */
const TABLES = ["A2B0", "A2B1", "A2B2", "D2B0", "D2B1", "D2B2", "D2B3"];

/** @throws {Error} if the bytes are no profile, or a damaged one. */
export function readProfile(bytes: Uint8Array<ArrayBuffer>): Profile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < HEADER_BYTES + 4 || name(36) !== "acsp") throw new Error("no ICC profile");
  const tags = new Map<string, DataView>();
  for (let i = 0, at = HEADER_BYTES + 4; i < Math.min(view.getUint32(HEADER_BYTES), MAX_TAGS); i++, at += 12) {
    const [from, length] = [view.getUint32(at + 4), view.getUint32(at + 8)];
    tags.set(name(at), new DataView(bytes.buffer, bytes.byteOffset + from, Math.min(length, bytes.length - from)));
  }
  const space = name(16);
  return { space, model: TABLES.some((table) => tags.has(table)) ? undefined : modelOf(space, name(20), tags) };
}

function modelOf(space: string, connection: string, tags: Map<string, DataView>): ColourModel | undefined {
  if (space === "GRAY" && tags.has("kTRC")) {
    const curve = readCurve(tags.get("kTRC")!);
    // In Lab a gray curve gives lightness (ICC.1:2022, 8.3.4), a percentage here.
    const light = connection === "Lab " ? (x: number) => lightness(curve(x)) : curve;
    return { curves: [sampledGray(light)], matrix: [[1, 0, 0], [1, 0, 0], [1, 0, 0]], encode: encodeSrgb };
  }
  const columns = ["rXYZ", "gXYZ", "bXYZ"].map((tag) => tags.get(tag));
  const curves = ["rTRC", "gTRC", "bTRC"].map((tag) => tags.get(tag));
  if (space !== "RGB " || connection !== "XYZ " || [...columns, ...curves].includes(undefined)) return undefined;
  const toXyz = transpose(columns.map((tag) => readXyz(tag!)) as unknown as Matrix);
  return {
    curves: curves.map((tag) => sampled(readCurve(tag!))),
    matrix: multiply(d50ToLinearSrgb(), toXyz),
    encode: encodeSrgb,
  };
}

/** CIE 1976 lightness, 0 to 1, as light. */
function lightness(value: number): number {
  const f = (value * 100 + 16) / 116;
  return f > 6 / 29 ? f ** 3 : 3 * (6 / 29) ** 2 * (f - 4 / 29);
}

function readXyz(tag: DataView): Vector {
  return [8, 12, 16].map((at) => fixed(tag, at)) as unknown as Vector;
}

/** LittleCMS samples gray at so many places, and is linear between them. Darkest tones would differ by up to 10 of 255. */
const GRAY_STEPS = 32;

/** Light that gives the same values in sRGB as LittleCMS. */
function sampledGray(light: (value: number) => number): Float64Array {
  const nodes = Array.from({ length: GRAY_STEPS + 1 }, (_, i) => encodeSrgb(light(i / GRAY_STEPS)));
  return sampled((x) => decodeSrgb(linear(nodes, x)));
}

/** Between evenly spaced values, `x` from 0 to 1. */
function linear(values: ArrayLike<number>, x: number): number {
  const place = x * (values.length - 1);
  const low = Math.min(Math.floor(place), values.length - 2);
  return values[low] + (values[low + 1] - values[low]) * (place - low);
}

/** A `curveType` or `parametricCurveType` (ICC.1:2022, 10.6 and 10.18), for values from 0 to 1. */
function readCurve(tag: DataView): (x: number) => number {
  const curve = tag.getUint32(0) === 0x70617261 ? parametric(tag) : table(tag);
  if (!sampled(curve).every(Number.isFinite)) throw new Error("a curve of no numbers");
  return curve;
}

function table(tag: DataView): (x: number) => number {
  if (tag.getUint32(0) !== 0x63757276) throw new Error("no curve");
  const count = tag.getUint32(8);
  if (count === 0) return (x) => x;
  if (count === 1) return (x) => x ** (tag.getUint16(12) / 256);
  const values = Float64Array.from({ length: count }, (_, i) => tag.getUint16(12 + 2 * i) / 65535);
  return (x) => linear(values, x);
}

function parametric(tag: DataView): (x: number) => number {
  const kind = tag.getUint16(8);
  const COUNTS = [1, 3, 4, 5, 7];
  const [g, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = Array.from(
    { length: COUNTS[kind] ?? 0 },
    (_, i) => fixed(tag, 12 + 4 * i),
  );
  const power = (x: number) => Math.max(0, a * x + b) ** g;
  switch (kind) {
    case 0:
      return (x) => x ** g;
    case 1:
      return (x) => x >= -b / a ? power(x) : 0;
    case 2:
      return (x) => x >= -b / a ? power(x) + c : c;
    case 3:
      return (x) => x >= d ? power(x) : c * x;
    case 4:
      return (x) => x >= d ? power(x) + e : c * x + f;
    default:
      throw new Error(`a curve of an unknown kind, ${kind}`);
  }
}

/** An `s15Fixed16Number`. */
function fixed(tag: DataView, at: number): number {
  return tag.getInt32(at) / 65536;
}
