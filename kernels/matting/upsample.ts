/*
 * Upsampling of alpha by local linear models: α ≈ a·rgb + b is fitted on a grid of cells, and applied to the colours of the
 * image's pixels (He, Sun, "Fast Guided Filter", 2015). Planes as in `laplacian.ts`.
 */
import { factor, factorise } from "./covariance";

/**
 * Fits a model to the 3×3 cells around each cell of a row, four cells at a time; cells beyond the grid do not count. Writes
 * a row of four planes of the same size: the coefficients of red, green and blue, and the constant. `rows`: how many rows of
 * the grid the windows have, 1 to 3.
 */
export function fitModels(
  colours: usize,
  alpha: usize,
  to: usize,
  plane: usize,
  stride: usize,
  width: i32,
  rows: i32,
  epsilon: f32,
): void {
  const row = stride << 2;
  const regularisation = f32x4.splat(epsilon);
  for (let x = 0; x < width; x += 4) {
    const offset = <usize> x << 2;
    const n = f32x4.div(f32x4.splat(1), cellsAround(x, width, rows));
    let r = f32x4.splat(0), g = r, b = r, p = r;
    let rr = r, rg = r, rb = r, gg = r, gb = r, bb = r, rp = r, gp = r, bp = r;
    for (let i = 0; i < 9; i++) {
      const at = offset + <usize> ((i / 3 - 1) * <i32> row + ((i % 3 - 1) << 2));
      const red = v128.load(colours + at);
      const green = v128.load(colours + at + plane);
      const blue = v128.load(colours + at + 2 * plane);
      const value = v128.load(alpha + at);
      r = f32x4.add(r, red);
      g = f32x4.add(g, green);
      b = f32x4.add(b, blue);
      p = f32x4.add(p, value);
      rr = f32x4.add(rr, f32x4.mul(red, red));
      rg = f32x4.add(rg, f32x4.mul(red, green));
      rb = f32x4.add(rb, f32x4.mul(red, blue));
      gg = f32x4.add(gg, f32x4.mul(green, green));
      gb = f32x4.add(gb, f32x4.mul(green, blue));
      bb = f32x4.add(bb, f32x4.mul(blue, blue));
      rp = f32x4.add(rp, f32x4.mul(red, value));
      gp = f32x4.add(gp, f32x4.mul(green, value));
      bp = f32x4.add(bp, f32x4.mul(blue, value));
    }
    r = f32x4.mul(r, n);
    g = f32x4.mul(g, n);
    b = f32x4.mul(b, n);
    p = f32x4.mul(p, n);
    factorise(
      f32x4.add(covariance(rr, r, r, n), regularisation),
      covariance(rg, r, g, n),
      covariance(rb, r, b, n),
      f32x4.add(covariance(gg, g, g, n), regularisation),
      covariance(gb, g, b, n),
      f32x4.add(covariance(bb, b, b, n), regularisation),
    );
    const rg1 = v128.load(factor), rb1 = v128.load(factor, 16), gb1 = v128.load(factor, 32);
    const y0 = covariance(rp, r, p, n);
    const y1 = f32x4.sub(covariance(gp, g, p, n), f32x4.mul(rg1, y0));
    const y2 = f32x4.sub(f32x4.sub(covariance(bp, b, p, n), f32x4.mul(rb1, y0)), f32x4.mul(gb1, y1));
    const blue = f32x4.mul(y2, v128.load(factor, 80));
    const green = f32x4.sub(f32x4.mul(y1, v128.load(factor, 64)), f32x4.mul(gb1, blue));
    const red = f32x4.sub(
      f32x4.sub(f32x4.mul(y0, v128.load(factor, 48)), f32x4.mul(rg1, green)),
      f32x4.mul(rb1, blue),
    );
    // Cells beyond the row must stay 0, as the means over models count on it.
    const inside = i32x4.lt_s(i32x4.add(i32x4.splat(x), i32x4(0, 1, 2, 3)), i32x4.splat(width));
    const constant = f32x4.sub(
      p,
      f32x4.add(f32x4.add(f32x4.mul(red, r), f32x4.mul(green, g)), f32x4.mul(blue, b)),
    );
    v128.store(to + offset, v128.and(red, inside));
    v128.store(to + offset + plane, v128.and(green, inside));
    v128.store(to + offset + 2 * plane, v128.and(blue, inside));
    v128.store(to + offset + 3 * plane, v128.and(constant, inside));
  }
}

/** E[ab] − E[a]E[b], from the sum of ab and the means. */
// @ts-ignore: decorator
@inline
function covariance(sum: v128, a: v128, b: v128, n: v128): v128 {
  return f32x4.sub(f32x4.mul(sum, n), f32x4.mul(a, b));
}

/** The number of cells in the windows around the cells x to x + 3. */
// @ts-ignore: decorator
@inline
function cellsAround(x: i32, width: i32, rows: i32): v128 {
  const column = i32x4.add(i32x4.splat(x), i32x4(0, 1, 2, 3));
  // A comparison that holds is −1.
  const left = i32x4.eq(column, i32x4.splat(0));
  const right = i32x4.eq(column, i32x4.splat(width - 1));
  const columns = i32x4.max_s(i32x4.add(i32x4.splat(3), i32x4.add(left, right)), i32x4.splat(1));
  return f32x4.convert_i32x4_s(i32x4.mul(columns, i32x4.splat(rows)));
}

/** Means of models over the 3×3 cells around each cell of a row; writes the four numbers of a model side by side. */
export function averageModels(
  models: usize,
  to: usize,
  plane: usize,
  stride: usize,
  width: i32,
  rows: i32,
): void {
  const row = stride << 2;
  for (let x = 0; x < width; x += 4, to += 64) {
    const at = models + (<usize> x << 2);
    const n = f32x4.div(f32x4.splat(1), cellsAround(x, width, rows));
    const a = f32x4.mul(sumAround(at, row), n);
    const b = f32x4.mul(sumAround(at + plane, row), n);
    const c = f32x4.mul(sumAround(at + 2 * plane, row), n);
    const d = f32x4.mul(sumAround(at + 3 * plane, row), n);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), ab1 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5), cd1 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
    v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 16);
    v128.store(to, v128.shuffle<i64>(ab1, cd1, 0, 2), 32);
    v128.store(to, v128.shuffle<i64>(ab1, cd1, 1, 3), 48);
  }
}

// @ts-ignore: decorator
@inline
function sumAround(at: usize, row: usize): v128 {
  const above = f32x4.add(f32x4.add(v128.load(at - row - 4), v128.load(at - row)), v128.load(at - row + 4));
  const here = f32x4.add(f32x4.add(v128.load(at - 4), v128.load(at)), v128.load(at + 4));
  const below = f32x4.add(f32x4.add(v128.load(at + row - 4), v128.load(at + row)), v128.load(at + row + 4));
  return f32x4.add(f32x4.add(above, here), below);
}

/** `count` f32 between those of two rows: a + t (b − a). */
export function mixRows(a: usize, b: usize, to: usize, count: usize, t: f32): void {
  const share = f32x4.splat(t);
  for (const end = to + (count << 2); to < end; a += 16, b += 16, to += 16) {
    const from = v128.load(a);
    v128.store(to, f32x4.add(from, f32x4.mul(share, f32x4.sub(v128.load(b), from))));
  }
}

/**
 * Alpha of a row of `width` pixels, in place, by the models (four f32 per cell) as far as `near` (f32 per cell, 0 to 1)
 * says. `columns` holds for each pixel the cell at its left (i32) and how far it is from it to the next (f32). Alpha
 * from `low` to 1 − `low` is stretched to 0 to 1.
 */
export function applyModels(
  pixels: usize,
  alphas: usize,
  width: usize,
  models: usize,
  near: usize,
  columns: usize,
  low: f32,
): void {
  const gain: f32 = 255.0 / (1.0 - 2.0 * low);
  const scale = f32x4.splat(1.0 / 255.0);
  for (const end = alphas + width; alphas < end; alphas++, pixels += 4, columns += 8) {
    const cell = <usize> load<i32>(columns);
    const t = load<f32>(columns, 4);
    const left = near + (cell << 2);
    if (load<f32>(left) === 0 && load<f32>(left, 4) === 0) continue;
    const trust = load<f32>(left) + t * (load<f32>(left, 4) - load<f32>(left));
    const a = v128.load(models + (cell << 4)), b = v128.load(models + (cell << 4), 16);
    const model = f32x4.add(a, f32x4.mul(f32x4.splat(t), f32x4.sub(b, a)));
    const colour = f32x4.convert_i32x4_s(
      i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(pixels))),
    );
    const terms = f32x4.mul(model, f32x4.replace_lane(f32x4.mul(colour, scale), 3, 1));
    const fit = f32x4.extract_lane(terms, 0) + f32x4.extract_lane(terms, 1) + f32x4.extract_lane(terms, 2) +
      f32x4.extract_lane(terms, 3);
    const value = max<f32>(0, min<f32>(255, (fit - low) * gain));
    const old = <f32> load<u8>(alphas);
    store<u8>(alphas, <u8> (old + trust * (value - old) + 0.5));
  }
}
