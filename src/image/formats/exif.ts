import type { Density } from "../../base/pixels.ts";
import { type Bytes, viewOf } from "./format.ts";

/** Tags of EXIF's first directory (CIPA DC-008; TIFF 6.0 for the layout). */
const TAG = { orientation: 274, xResolution: 282, yResolution: 283, resolutionUnit: 296 };
const [SHORT, RATIONAL] = [3, 5];
/** A directory of a camera has some 20 tags. */
const MAX_TAGS = 1000;

export interface Exif {
  /** 1 to 8. */
  readonly orientation?: number;
  readonly density?: Density;
}

/**
 * Orientation and resolution from EXIF metadata, with or without the `Exif\0\0` in front of it. A damaged directory has
 * none: the picture may still be fine.
 */
export function readExif(bytes: Bytes): Exif {
  const prefix = [0x45, 0x78, 0x69, 0x66, 0, 0];
  const tiff = prefix.every((byte, i) => bytes[i] === byte) ? bytes.subarray(prefix.length) : bytes;
  try {
    return readDirectory(tiff);
  } catch {
    return {};
  }
}

function readDirectory(tiff: Bytes): Exif {
  const view = viewOf(tiff);
  const little = tiff[0] === 0x49;
  const values = new Map<number, number>();
  const start = view.getUint32(4, little);
  const count = Math.min(view.getUint16(start, little), MAX_TAGS);
  for (let i = 0, at = start + 2; i < count && at + 12 <= tiff.length; i++, at += 12) {
    const tag = view.getUint16(at, little);
    const type = view.getUint16(at + 2, little);
    if (!Object.values(TAG).includes(tag) || values.has(tag)) continue;
    if (type === SHORT) values.set(tag, view.getUint16(at + 8, little));
    if (type === RATIONAL) {
      const from = view.getUint32(at + 8, little);
      if (from + 8 > tiff.length) continue;
      values.set(tag, view.getUint32(from, little) / view.getUint32(from + 4, little));
    }
  }
  const CENTIMETRE = 3;
  const perInch = values.get(TAG.resolutionUnit) === CENTIMETRE ? 2.54 : 1;
  const density = toDensity(values.get(TAG.xResolution), values.get(TAG.yResolution), perInch);
  return { orientation: values.get(TAG.orientation), density };
}

/** A resolution in dots per inch; undefined if it is missing or no sensible number. */
export function toDensity(x: number | undefined, y: number | undefined, perInch = 1): Density | undefined {
  const sensible = (value: number | undefined) =>
    value !== undefined && value * perInch >= 1 && value * perInch < 65536;
  return sensible(x) && sensible(y) ? { x: x! * perInch, y: y! * perInch } : undefined;
}
