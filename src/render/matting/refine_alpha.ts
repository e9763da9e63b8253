import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { addRows, type Grid, gridOf, inCells, interpolate, slideWindow, USUAL_MASK } from "./grid.ts";

/** Colours and alpha are compared this far around a cell, in pixels of the mask. */
const MODEL_RADIUS = 2.5;

/** Each model becomes the mean of the models this far around it, in pixels of the mask. */
const AVERAGE_RADIUS = MODEL_RADIUS / 2;

/** Added to the variance of colours (0–1), so that noise explains nothing: the variance of noise of about 4 in 255. */
const EPSILON = 3e-4;

/** Windows in which the variance of alpha (0–1) is less have no edge. */
const MIN_EDGE_VARIANCE = 0.02;

/** The weight of a cell with an alpha of 0.5, while cells with a certain alpha, 0 or 1, have a weight of 1. */
const UNCERTAIN_WEIGHT = 0.01;

/** Steepens alpha around 0.5, because least squares flatten it. */
const GAIN = 1.2;

/** Alpha of 0.5, in 255ths. */
const HALF = 127.5;

/** Less trust moves alpha by at most 0.255 of 255, which rounds to nothing; without any trust, the fit divides by 0. */
const MIN_TRUST = 1e-3;

/**
 * Moves the edges of an upsampled mask to the edges of the image. Where alpha varies, a linear model of alpha from colour,
 * `α ≈ a·rgb + b`, is fitted around each cell. Pixels get the alpha that the models around them predict, to the degree
 * that these explain the mask's alpha. Where subject and background look alike, models explain nothing and the mask's
 * alpha remains, as it does away from edges.
 *
 * This is the guided filter with a colour guide (He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, equations 19–21) on a
 * subsampled grid (He, Sun, "Fast Guided Filter", 2015), with two changes: cells are weighted by how certain their alpha
 * is, so that the mask's blur does not return in the result, and models by the square of the share of alpha's variance
 * that they explain.
 * @param alpha height×width, 0–255: the mask at the image's size.
 * @param mask the mask's size before it was upsampled, which tells how blurred it is.
 * @returns height×width, 0–255.
 */
export function refineAlpha(image: Pixels, alpha: Uint8Array, mask = USUAL_MASK): Uint8Array<ArrayBuffer> {
  const { data, width, height } = image;
  const grid = gridOf(image, mask);
  const models = averageModels(grid, mask, fitModels(grid, mask, shrink(image, alpha, grid)));
  const refined = new Uint8ClampedArray(alpha);
  const model = new Float64Array(MODEL.channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      interpolate(grid, models, MODEL.channels, x, y, model);
      const trust = model[MODEL.trust];
      if (trust < MIN_TRUST) continue;
      const at = i * 4;
      const fit = model[MODEL.red] * data[at] + model[MODEL.green] * data[at + 1] + model[MODEL.blue] * data[at + 2];
      const steepened = HALF + GAIN * ((fit + 255 * model[MODEL.constant]) / trust - HALF);
      refined[i] = alpha[i] + trust * (Math.max(0, Math.min(255, steepened)) - alpha[i]);
    }
  }
  return new Uint8Array(refined.buffer);
}

/** The mean colour and alpha of the pixels in each cell, 0–1: grid height×width×4. */
function shrink({ data, width, height }: Pixels, alpha: Uint8Array, grid: Grid): Float32Array {
  const cells = new Float32Array(grid.width * grid.height * 4);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / grid.stepY);
    const rows = Math.min(grid.stepY, height - row * grid.stepY);
    for (let column = 0, x = 0; column < grid.width; column++) {
      const end = Math.min(x + grid.stepX, width);
      const scale = 1 / (255 * rows * (end - x));
      let red = 0, green = 0, blue = 0, opacity = 0;
      for (; x < end; x++) {
        const i = y * width + x;
        red += data[i * 4];
        green += data[i * 4 + 1];
        blue += data[i * 4 + 2];
        opacity += alpha[i];
      }
      const to = (row * grid.width + column) * 4;
      cells[to] += red * scale;
      cells[to + 1] += green * scale;
      cells[to + 2] += blue * scale;
      cells[to + 3] += opacity * scale;
    }
  }
  return cells;
}

/** The channels of a cell's model: the trust in it, 0–1, and trust times `a` (for each colour) and times `b`. */
const MODEL = { trust: 0, red: 1, green: 2, blue: 3, constant: 4, channels: 5 } as const;

/** The number of weighted sums over a window: of 1, α, α², r, g, b, rr, rg, rb, gg, gb, bb, αr, αg and αb. */
const SUMS = 15;

/** The linear model of alpha (here `p`, as in the papers) that fits best around each cell: grid height×width×{@link MODEL}. */
function fitModels(grid: Grid, mask: Size, cells: Float32Array): Float32Array {
  const models = new Float32Array(grid.width * grid.height * MODEL.channels);
  const add = (y: number, columns: Float64Array, sign: number) => {
    for (let to = 0, at = y * grid.width * 4; to < columns.length; to += SUMS, at += 4) {
      const r = cells[at], g = cells[at + 1], b = cells[at + 2], p = cells[at + 3];
      const certainty = (2 * p - 1) ** 2;
      const weight = sign * (UNCERTAIN_WEIGHT + (1 - UNCERTAIN_WEIGHT) * certainty);
      const wr = weight * r, wg = weight * g, wb = weight * b, wp = weight * p;
      columns[to] += weight;
      columns[to + 1] += wp;
      columns[to + 2] += wp * p;
      columns[to + 3] += wr;
      columns[to + 4] += wg;
      columns[to + 5] += wb;
      columns[to + 6] += wr * r;
      columns[to + 7] += wr * g;
      columns[to + 8] += wr * b;
      columns[to + 9] += wg * g;
      columns[to + 10] += wg * b;
      columns[to + 11] += wb * b;
      columns[to + 12] += wp * r;
      columns[to + 13] += wp * g;
      columns[to + 14] += wp * b;
    }
  };
  slideWindow(grid, SUMS, inCells(MODEL_RADIUS, grid, mask), add, (y, sums) => {
    for (let at = 0, to = y * grid.width * MODEL.channels; at < sums.length; at += SUMS, to += MODEL.channels) {
      const n = 1 / sums[at];
      const p = sums[at + 1] * n;
      const variance = sums[at + 2] * n - p * p;
      if (variance < MIN_EDGE_VARIANCE) continue;
      const r = sums[at + 3] * n, g = sums[at + 4] * n, b = sums[at + 5] * n;
      // a = (Σ + εU)⁻¹ cov(rgb, α), with the adjugate of the symmetric matrix.
      const rr = sums[at + 6] * n - r * r + EPSILON;
      const rg = sums[at + 7] * n - r * g;
      const rb = sums[at + 8] * n - r * b;
      const gg = sums[at + 9] * n - g * g + EPSILON;
      const gb = sums[at + 10] * n - g * b;
      const bb = sums[at + 11] * n - b * b + EPSILON;
      const rp = sums[at + 12] * n - r * p;
      const gp = sums[at + 13] * n - g * p;
      const bp = sums[at + 14] * n - b * p;
      const irr = gg * bb - gb * gb, irg = gb * rb - rg * bb, irb = rg * gb - gg * rb;
      const igg = rr * bb - rb * rb, igb = rb * rg - rr * gb, ibb = rr * gg - rg * rg;
      const determinant = rr * irr + rg * irg + rb * irb;
      const red = (irr * rp + irg * gp + irb * bp) / determinant;
      const green = (irg * rp + igg * gp + igb * bp) / determinant;
      const blue = (irb * rp + igb * gp + ibb * bp) / determinant;
      const explained = Math.max(0, Math.min(1, (red * rp + green * gp + blue * bp) / variance));
      const trust = explained ** 2;
      models[to + MODEL.trust] = trust;
      models[to + MODEL.red] = trust * red;
      models[to + MODEL.green] = trust * green;
      models[to + MODEL.blue] = trust * blue;
      models[to + MODEL.constant] = trust * (p - red * r - green * g - blue * b);
    }
  });
  return models;
}

/** Replaces each cell's model by the mean of the models around it. */
function averageModels(grid: Grid, mask: Size, models: Float32Array): Float32Array {
  const reach = inCells(AVERAGE_RADIUS, grid, mask);
  const means = new Float32Array(models.length);
  const rowLength = grid.width * MODEL.channels;
  const share = 1 / ((2 * reach.across + 1) * (2 * reach.down + 1));
  slideWindow(grid, MODEL.channels, reach, addRows(models), (y, sums) => {
    for (let i = 0, to = y * rowLength; i < rowLength; i++) means[to++] = sums[i] * share;
  });
  return means;
}
