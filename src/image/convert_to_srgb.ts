import type { Pixels } from "../base/pixels.ts";
import { borrowKernels, type KernelMemory } from "./kernels.ts";
import { modelOfCodePoints, modelOfGamma } from "./colour/cicp.ts";
import { cellsOf, CMYK_GRID, RGB_GRID } from "./colour/grid.ts";
import { readProfile } from "./colour/icc.ts";
import { type Matrix, transpose } from "./colour/matrix.ts";
import type { ColourModel } from "./colour/model.ts";
import { type ColourTag, MAX_PROFILE_BYTES } from "./colour/tag.ts";

/** Steps of light between black and white: at the dark end of sRGB, twenty to one step of the result. */
const LIGHT_STEPS = 65_535;
/** How many pixels are converted at a time. */
const BLOCK = 65_536;
/** A conversion that moves no value further than that, of 255, is rounding: such pictures are left as they are. */
const ROUNDING = 1;

/**
 * Converts colours to sRGB, in place; alpha stays. A damaged profile, or one for another kind of picture, is ignored, as
 * browsers do.
 */
export async function convertToSrgb(image: Pixels, tag: ColourTag): Promise<void> {
  if (tag.kind === "inks") return convertInks(image, tag);
  if (tag.kind === "icc") return await convertByProfile(image, tag.profile);
  const model = tag.kind === "cicp" ? modelOfCodePoints(tag) : modelOfGamma(tag);
  if (model !== undefined) convertByModel(image, model);
}

async function convertByProfile(image: Pixels, profile: Uint8Array<ArrayBuffer>): Promise<void> {
  if (profile.length > MAX_PROFILE_BYTES) return;
  try {
    const { space, model } = readProfile(profile);
    if (space !== "RGB " && !(space === "GRAY" && isGray(image))) return;
    if (model !== undefined) return convertByModel(image, model);
    await convertByTables(image, profile);
  } catch {
    // The picture is fine without its profile.
  }
}

/** LittleCMS takes almost a microsecond for each pixel, so it converts a grid of colours, between which a kernel interpolates. */
async function convertByTables(image: Pixels, profile: Uint8Array<ArrayBuffer>): Promise<void> {
  const { sampleProfile } = await import("./formats/magick.ts");
  const nodes = await sampleProfile(profile, RGB_GRID);
  using memory = borrowKernels();
  const { side } = RGB_GRID;
  const [nodesAt, cellsAt] = [memory.place(nodes), memory.place(cellsOf(RGB_GRID))];
  const pixelsAt = memory.reserve(BLOCK * 4);
  inBlocks(image, memory, pixelsAt, (count) => memory.run.interpolateColours(pixelsAt, count, nodesAt, side, cellsAt));
}

function convertInks(image: Pixels, { colours, alpha }: ColourTag & { kind: "inks" }): void {
  const { side } = CMYK_GRID;
  const nodes = new Uint32Array(colours.buffer, colours.byteOffset, side ** 4);
  // Each beside the one with more cyan.
  const pairs = new Uint32Array(2 * (side - 1) * side ** 3);
  for (let i = 0; 2 * i < pairs.length; i++) [pairs[2 * i], pairs[2 * i + 1]] = [nodes[i], nodes[i + side ** 3]];
  using memory = borrowKernels();
  const [nodesAt, cellsAt] = [memory.place(pairs), memory.place(cellsOf(CMYK_GRID))];
  const pixelsAt = memory.reserve(BLOCK * 4);
  inBlocks(image, memory, pixelsAt, (count) => memory.run.interpolateInks(pixelsAt, count, nodesAt, side, cellsAt));
  alpha?.forEach((value, i) => image.data[4 * i + 3] = value);
}

/** Converts the pixels block by block, each by `convert` at `pixelsAt`. */
function inBlocks(
  { data, width, height }: Pixels,
  { bytes }: KernelMemory,
  pixelsAt: number,
  convert: (count: number) => void,
): void {
  const length = width * height * 4;
  for (let from = 0; from < length; from += BLOCK * 4) {
    const block = data.subarray(from, Math.min(length, from + BLOCK * 4));
    bytes.set(block, pixelsAt);
    convert(block.length / 4);
    data.set(bytes.subarray(pixelsAt, pixelsAt + block.length), from);
  }
}

function isGray({ data }: Pixels): boolean {
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return false;
  }
  return true;
}

function convertByModel(image: Pixels, model: ColourModel): void {
  const { lights, encoded } = tablesOf(model);
  if (isIdentity(lights, encoded)) return;
  using memory = borrowKernels();
  const lightsAt = memory.place(lights);
  const encodedAt = memory.place(encoded);
  const pixelsAt = memory.reserve(BLOCK * 4);
  inBlocks(
    image,
    memory,
    pixelsAt,
    (count) => memory.run.convertColours(pixelsAt, count, lightsAt, encodedAt, LIGHT_STEPS),
  );
}

interface Tables {
  /** Three channels × 256 values × (red, green, blue, 0): the linear light of sRGB that each value adds. */
  readonly lights: Float32Array;
  /** The value of the result for each step of light. */
  readonly encoded: Uint8Array;
}

function tablesOf({ curves, matrix, encode }: ColourModel): Tables {
  const lights = new Float32Array(3 * 256 * 4);
  const columns: Matrix = transpose(matrix);
  curves.forEach((curve, channel) =>
    curve.forEach((light, value) => {
      // Half a step, so that cutting rounds.
      const rounding = channel === 0 ? 0.5 : 0;
      const added = columns[channel].map((part) => part * light * LIGHT_STEPS + rounding);
      lights.set(added, (channel * 256 + value) * 4);
    })
  );
  return { lights, encoded: encodedSteps(encode) };
}

const encodedBy = new Map<ColourModel["encode"], Uint8Array>();

function encodedSteps(encode: ColourModel["encode"]): Uint8Array {
  let steps = encodedBy.get(encode);
  if (steps === undefined) {
    steps = Uint8Array.from({ length: LIGHT_STEPS + 1 }, (_, i) => Math.round(255 * encode(i / LIGHT_STEPS)));
    encodedBy.set(encode, steps);
  }
  return steps;
}

/** Whether grays, primaries and the colours between them stay as they are. */
function isIdentity(lights: Float32Array, encoded: Uint8Array): boolean {
  const LEVELS = [0, 32, 64, 96, 128, 160, 192, 224, 255];
  const gray = (value: number) => [value, value, value];
  const mixed = LEVELS.flatMap((r) => LEVELS.flatMap((g) => LEVELS.map((b) => [r, g, b])));
  return [...Array.from({ length: 256 }, (_, value) => gray(value)), ...mixed].every((colour) =>
    colour.every((value, channel) => {
      const light = colour.reduce((sum, level, i) => sum + lights[(i * 256 + level) * 4 + channel], 0);
      return Math.abs(encoded[Math.trunc(Math.min(LIGHT_STEPS, Math.max(0, light)))] - value) <= ROUNDING;
    })
  );
}
