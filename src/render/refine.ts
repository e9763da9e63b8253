import type { Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";

/*
 * Both functions work on a grid of cells, each some pixels wide, and look up between its cells for each pixel, as the fast
 * guided filter does: what they estimate varies slowly, and the grid has much the same size for every image.
 */

/** The grid has this many cells to a pixel of the mask, or nearly, where the image has as many pixels. */
const CELLS_PER_MASK_PIXEL = 2;

/** How far around a cell colours and alpha are compared, in pixels of the mask; models are averaged over half of it. */
const MODEL_RADIUS = 2.5;

/** What is added to the variance of colours (of 1.0) so that noise explains nothing: a noise of about 4 in 255. */
const EPSILON = 3e-4;

/** The variance of alpha (of 1.0) that makes an edge. */
const EDGE_VARIANCE = 0.02;

/** How much a cell counts whose alpha is a half, where one that is certain counts 1. */
const UNCERTAIN_WEIGHT = 0.01;

/** Steepens alpha around a half, since least squares draw it there. */
const GAIN = 1.2;

/** From how far the colours of subject and background come, in pixels of the mask: near by, else from further away. */
const NEAR_RADIUS = 2;
const FAR_RADIUS = 16;

/** How much far colours count beside near ones: as a tenth of a cell. */
const FAR_WEIGHT = 0.1;

/** The size of the mask of most models of the U²-Net family. */
const USUAL_MASK: Size = { width: 320, height: 320 };

/**
 * Puts the edges of an upsampled mask where the image has them. Around each place where alpha varies, a linear model of
 * alpha from colour, `α ≈ a·rgb + b`, is fitted; pixels take what the models around them say, as far as these explain the
 * mask's alpha. Where subject and background look alike, they explain nothing and the mask's alpha remains, as it does
 * away from edges.
 *
 * It is the guided filter with a colour guide (He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, equations 19–21), on a
 * subsampled grid (He, Sun, "Fast Guided Filter", 2015), with two changes of ours: cells count by how certain their alpha
 * is, so that the mask's blur does not return in the result, and models count by the square of the share of alpha's
 * variance that they explain.
 * @param alpha height×width, 0–255: the mask at the image's size.
 * @param mask the mask's size before it was upsampled, which says how blurred it is.
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
      if (trust < 1e-3) continue;
      const at = i * 4;
      const fit = model[MODEL.red] * data[at] + model[MODEL.green] * data[at + 1] + model[MODEL.blue] * data[at + 2];
      const steepened = 127.5 + GAIN * ((fit + 255 * model[MODEL.constant]) / trust - 127.5);
      refined[i] = alpha[i] + trust * (Math.max(0, Math.min(255, steepened)) - alpha[i]);
    }
  }
  return new Uint8Array(refined.buffer);
}

/**
 * Takes the old background's colour out of semi-transparent pixels, in place, so that it does not shine through on a new
 * one. With `F` and `B`, the mean colours of subject and background near by, a pixel of colour `I` becomes
 * `F + α(I − αF − (1−α)B)`, but never leaves the range between `I` and `F`: alpha is an estimate too, and where it is wrong
 * the formula would make colours that are in neither. Opaque and transparent pixels keep their colours.
 *
 * The formula is that of Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021 (equations 4–7). That colours
 * come from afar where there are none near by is after Germer et al., "Fast Multi-Level Foreground Estimation", ICPR 2020.
 * @param alpha height×width, 0–255; the image's own alpha is not looked at.
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
      // Less than 1: a layer of which nothing is known far and wide.
      if (near[LAYERS.front] < 0.999 || near[LAYERS.back] < 0.999) continue;
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

interface Grid extends Size {
  /** The size of a cell in pixels. */
  readonly stepX: number;
  readonly stepY: number;
}

function gridOf({ width, height }: Size, mask: Size): Grid {
  const stepX = Math.max(1, Math.floor(width / (CELLS_PER_MASK_PIXEL * mask.width)));
  const stepY = Math.max(1, Math.floor(height / (CELLS_PER_MASK_PIXEL * mask.height)));
  return { width: Math.ceil(width / stepX), height: Math.ceil(height / stepY), stepX, stepY };
}

/** A radius in pixels of the mask, as whole cells across and down. */
function inCells(radius: number, grid: Grid, mask: Size): { across: number; down: number } {
  return {
    across: Math.max(1, Math.round((radius * grid.width) / mask.width)),
    down: Math.max(1, Math.round((radius * grid.height) / mask.height)),
  };
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

/** A cell's model: how far to trust it, 0–1, and that times `a` (for each colour) and `b`. */
const MODEL = { trust: 0, red: 1, green: 2, blue: 3, constant: 4, channels: 5 } as const;

/** Weighted sums over a window: of 1, alpha, its square, colours, their products, and their products with alpha. */
const SUMS = 15;

/** The linear model of alpha that fits best around each cell: grid height×width×{@link MODEL}. */
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
  const { across, down } = inCells(MODEL_RADIUS, grid, mask);
  slideWindow(grid, SUMS, across, down, add, (y, sums) => {
    for (let at = 0, to = y * grid.width * MODEL.channels; at < sums.length; at += SUMS, to += MODEL.channels) {
      const n = 1 / sums[at];
      const p = sums[at + 1] * n;
      const variance = sums[at + 2] * n - p * p;
      if (variance < EDGE_VARIANCE) continue;
      const r = sums[at + 3] * n, g = sums[at + 4] * n, b = sums[at + 5] * n;
      // a = (Σ + εU)⁻¹ cov(rgb, α), by the adjugate of the symmetric matrix.
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

/** Each cell's model becomes the mean of those around it. */
function averageModels(grid: Grid, mask: Size, models: Float32Array): Float32Array {
  const { across, down } = inCells(MODEL_RADIUS / 2, grid, mask);
  const means = new Float32Array(models.length);
  const rowLength = grid.width * MODEL.channels;
  const share = 1 / ((2 * across + 1) * (2 * down + 1));
  slideWindow(grid, MODEL.channels, across, down, addRows(models), (y, sums) => {
    for (let i = 0, to = y * rowLength; i < rowLength; i++) means[to++] = sums[i] * share;
  });
  return means;
}

/** Two layers, each a weight and three colours. */
const LAYERS = { front: 0, back: 4, channels: 8 } as const;

/**
 * In each cell, the sums of the weights of subject and background, and of their colours times that: grid
 * height×width×{@link LAYERS}. The weights are α⁸ and (1−α)⁸, since a mixed colour says little about either.
 */
function collectColours({ data, width, height }: Pixels, alpha: Uint8Array, grid: Grid): Float32Array {
  const weights = Float64Array.from({ length: 256 }, (_, value) => (value / 255) ** 8);
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

/** The mean colours of subject and background around each cell; the weight says whether there are any: 1, else less. */
function estimateColours(grid: Grid, mask: Size, cells: Float32Array): Float32Array {
  const sumsWithin = (radius: number) => {
    const { across, down } = inCells(radius, grid, mask);
    const windows = new Float32Array(cells.length);
    slideWindow(grid, LAYERS.channels, across, down, addRows(cells), (y, sums) => windows.set(sums, y * sums.length));
    return windows;
  };
  const near = sumsWithin(NEAR_RADIUS);
  const far = sumsWithin(FAR_RADIUS);
  const farWeight = FAR_WEIGHT * grid.stepX * grid.stepY;
  for (let at = 0; at < cells.length; at += 4) {
    const known = far[at] > 1e-3;
    const nearWeight = Math.max(0, near[at]);
    near[at] = known ? 1 : 0;
    for (let c = at + 1; known && c < at + 4; c++) {
      near[c] = (near[c] + (farWeight * far[c]) / far[at]) / (nearWeight + farWeight);
    }
  }
  return near;
}

/** Adds rows of a plane as they are. */
function addRows(plane: Float32Array) {
  return (y: number, columns: Float64Array, sign: number): void => {
    for (let i = 0, at = y * columns.length; i < columns.length; i++) columns[i] += sign * plane[at++];
  };
}

/**
 * Slides a window over the grid, a row at a time, with running sums: the work does not depend on the window's size.
 * Beyond the grid there is nothing.
 * @param add adds `sign` times the values of row y to the sums of the columns, width×channels.
 * @param emit gets the sums over the windows around the cells of row y, width×channels.
 */
function slideWindow(
  { width, height }: Size,
  channels: number,
  radiusX: number,
  radiusY: number,
  add: (y: number, columns: Float64Array, sign: 1 | -1) => void,
  emit: (y: number, sums: Float64Array) => void,
): void {
  const columns = new Float64Array(width * channels);
  const sums = new Float64Array(width * channels);
  const running = new Float64Array(channels);
  const reach = radiusX * channels;
  for (let y = 0; y < Math.min(radiusY, height); y++) add(y, columns, 1);
  for (let y = 0; y < height; y++) {
    if (y + radiusY < height) add(y + radiusY, columns, 1);
    if (y - radiusY > 0) add(y - radiusY - 1, columns, -1);
    running.fill(0);
    for (let i = 0; i < Math.min(reach, columns.length); i++) running[i % channels] += columns[i];
    for (let at = 0; at < columns.length; at += channels) {
      const entering = at + reach;
      const leaving = at - reach - channels;
      for (let c = 0; c < channels; c++) {
        if (entering < columns.length) running[c] += columns[entering + c];
        if (leaving >= 0) running[c] -= columns[leaving + c];
        sums[at + c] = running[c];
      }
    }
    emit(y, sums);
  }
}

/** The values of a plane (grid height×width×channels) at a pixel, between the cells around it, into `to`. */
function interpolate(grid: Grid, plane: Float32Array, channels: number, x: number, y: number, to: Float64Array): void {
  const gridX = Math.max(0, Math.min(grid.width - 1, (x + 0.5) / grid.stepX - 0.5));
  const gridY = Math.max(0, Math.min(grid.height - 1, (y + 0.5) / grid.stepY - 0.5));
  const column = Math.floor(gridX);
  const row = Math.floor(gridY);
  const right = column + 1 < grid.width ? channels : 0;
  const below = row + 1 < grid.height ? grid.width * channels : 0;
  const at = (row * grid.width + column) * channels;
  const atRight = (gridX - column) * (1 - (gridY - row));
  const atBelow = (1 - (gridX - column)) * (gridY - row);
  const atBoth = (gridX - column) * (gridY - row);
  const here = 1 - atRight - atBelow - atBoth;
  for (let c = 0; c < channels; c++) {
    const i = at + c;
    to[c] = here * plane[i] + atRight * plane[i + right] + atBelow * plane[i + below] +
      atBoth * plane[i + below + right];
  }
}
