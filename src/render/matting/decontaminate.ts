import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { addRows, type Grid, gridOf, inCells, interpolate, slideWindow, USUAL_MASK } from "./grid.ts";

/** How far away colours of subject and background are collected, in pixels of the mask: near, and as a fallback far. */
const NEAR_RADIUS = 2;
const FAR_RADIUS = 16;

/** Far colours count as much as this share of a cell full of near ones, so near ones prevail if there are any. */
const FAR_WEIGHT = 0.1;

/** Pixels count with α⁸ as subject and (1−α)⁸ as background, because mixed colours say little about either. */
const EXPONENT = 8;

/** A smaller sum of such weights means that there is no colour: not even one pixel with an alpha of 0.42 (0.42⁸). */
const MIN_FAR_SUM = 1e-3;

/** The interpolated weight of a layer if all cells around a pixel know its colour: 1, less rounding. */
const ALL_KNOWN = 0.999;

/**
 * Removes the old background's colour from translucent pixels, in place, so that it does not shine through on a new one.
 * With `F` and `B`, the mean colours of subject and background nearby, a pixel of colour `I` becomes
 * `F + α(I − αF − (1−α)B)`, but stays between `I` and `F`: alpha is an estimate, and if it is wrong, the formula would
 * make colours that are in neither. Opaque and transparent pixels keep their colours, and so do pixels around which a
 * layer's colour is unknown.
 *
 * The formula is from Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021 (equations 4–7). The use of distant
 * colours if there are none nearby follows Germer et al., "Fast Multi-Level Foreground Estimation", ICPR 2020.
 * @param alpha height×width, 0–255; the image's own alpha is ignored.
 * @param mask the size of the mask that alpha comes from.
 */
export function decontaminate(image: Pixels, alpha: Uint8Array, mask = USUAL_MASK): void {
  const { data, width, height } = image;
  const grid = gridOf(image, mask);
  const colours = estimateColours(grid, mask, collectColours(image, alpha, grid));
  const near = new Float64Array(LAYERS.channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (alpha[i] === 0 || alpha[i] === 255) continue;
      interpolate(grid, colours, LAYERS.channels, x, y, near);
      if (near[LAYERS.front] < ALL_KNOWN || near[LAYERS.back] < ALL_KNOWN) continue;
      const a = alpha[i] / 255;
      for (let c = 0; c < 3; c++) {
        const mixed = data[i * 4 + c];
        const front = near[LAYERS.front + 1 + c];
        const back = near[LAYERS.back + 1 + c];
        const pure = front + a * (mixed - a * front - (1 - a) * back);
        data[i * 4 + c] = Math.round(Math.max(Math.min(mixed, front), Math.min(Math.max(mixed, front), pure)));
      }
    }
  }
}

/** The channels of a cell's colours: for each of the two layers, a weight and three colours. */
const LAYERS = { front: 0, back: 4, channels: 8 } as const;

/**
 * For each cell, the sums of its pixels' weights as subject and as background, and of their colours times these weights:
 * grid height×width×{@link LAYERS}.
 */
function collectColours({ data, width, height }: Pixels, alpha: Uint8Array, grid: Grid): Float32Array {
  const weights = Float64Array.from({ length: 256 }, (_, value) => (value / 255) ** EXPONENT);
  const cells = new Float32Array(grid.width * grid.height * LAYERS.channels);
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.floor(y / grid.stepY) * grid.width;
    for (let x = 0; x < width; x++, i++) {
      const to = (row + Math.floor(x / grid.stepX)) * LAYERS.channels;
      const front = weights[alpha[i]];
      const back = weights[255 - alpha[i]];
      cells[to + LAYERS.front] += front;
      cells[to + LAYERS.back] += back;
      for (let c = 0; c < 3; c++) {
        cells[to + LAYERS.front + 1 + c] += front * data[i * 4 + c];
        cells[to + LAYERS.back + 1 + c] += back * data[i * 4 + c];
      }
    }
  }
  return cells;
}

/**
 * The mean colours of subject and background around each cell: grid height×width×{@link LAYERS}. The weight of a layer is 1
 * if its colour is known, else 0.
 */
function estimateColours(grid: Grid, mask: Size, cells: Float32Array): Float32Array {
  const sumsWithin = (radius: number) => {
    const windows = new Float32Array(cells.length);
    slideWindow(grid, LAYERS.channels, inCells(radius, grid, mask), addRows(cells), (y, sums) => {
      windows.set(sums, y * sums.length);
    });
    return windows;
  };
  const near = sumsWithin(NEAR_RADIUS);
  const far = sumsWithin(FAR_RADIUS);
  const farWeight = FAR_WEIGHT * grid.stepX * grid.stepY;
  for (let at = 0; at < cells.length; at += 4) {
    const known = far[at] > MIN_FAR_SUM;
    const nearWeight = Math.max(0, near[at]);
    near[at] = known ? 1 : 0;
    for (let c = at + 1; known && c < at + 4; c++) {
      near[c] = (near[c] + (farWeight * far[c]) / far[at]) / (nearWeight + farWeight);
    }
  }
  return near;
}
