/*
 * Separable resampling of 8-bit values in fixed point, as in Pillow (libImaging/Resample.c): weights are multiples of
 * 1/2²²; after each of the two passes, sums are rounded and clamped to 8 bits.
 */

/** Fractional bits of a weight: 8 bits for the value and 2 for sums that overshoot leave 22 of 32. */
const PRECISION: i32 = 22;
const HALF: i32 = 1 << (PRECISION - 1);

/**
 * Resamples one row of four-channel pixels horizontally. For each output pixel, the table has the index of the first input
 * pixel that contributes, the number of pixels that contribute, and `stride` weights.
 */
export function resampleAcross(from: usize, to: usize, outputWidth: i32, table: usize, stride: i32): void {
  const step = <usize> (2 + stride) << 2;
  for (let x = 0; x < outputWidth; x++, to += 4, table += step) {
    v128.store32_lane(to, sumAcross(from, table), 0);
  }
}

/** Interleaves four consecutive rows of `width` bytes into one row of four-channel pixels. */
export function interleaveRows(from: usize, to: usize, width: usize): void {
  for (const end = from + width; from < end; from++, to += 4) {
    store<u8>(to, load<u8>(from));
    store<u8>(to + 1, load<u8>(from + width));
    store<u8>(to + 2, load<u8>(from + 2 * width));
    store<u8>(to + 3, load<u8>(from + 3 * width));
  }
}

/** Like {@link resampleAcross}, but writes each channel into a row of its own, `rowLength` bytes apart. */
export function resampleFourAcross(
  from: usize,
  to: usize,
  outputWidth: i32,
  table: usize,
  stride: i32,
  rowLength: usize,
): void {
  const step = <usize> (2 + stride) << 2;
  for (let x = 0; x < outputWidth; x++, to++, table += step) {
    const values = sumAcross(from, table);
    v128.store8_lane(to, values, 0);
    v128.store8_lane(to + rowLength, values, 1);
    v128.store8_lane(to + 2 * rowLength, values, 2);
    v128.store8_lane(to + 3 * rowLength, values, 3);
  }
}

function sumAcross(from: usize, entry: usize): v128 {
  let at = from + (<usize> load<i32>(entry) << 2);
  let weight = entry + 8;
  let sum = i32x4.splat(HALF);
  for (const end = weight + (<usize> load<i32>(entry, 4) << 2); weight < end; weight += 4, at += 4) {
    const pixel = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at)));
    sum = i32x4.add(sum, i32x4.mul(pixel, v128.load32_splat(weight)));
  }
  return clamped(sum, sum, sum, sum);
}

/** One output row of the vertical pass: the weighted sum of `count` rows that lie `length` (a multiple of 16) bytes apart. */
export function resampleDown(from: usize, to: usize, length: usize, weights: usize, count: i32): void {
  for (const end = to + length; to < end; to += 16, from += 16) {
    let a = i32x4.splat(HALF), b = a, c = a, d = a;
    let at = from;
    for (let i = 0; i < count; i++, at += length) {
      const weight = v128.load32_splat(weights + (<usize> i << 2));
      const values = v128.load(at);
      const low = i16x8.extend_low_i8x16_u(values);
      const high = i16x8.extend_high_i8x16_u(values);
      a = i32x4.add(a, i32x4.mul(i32x4.extend_low_i16x8_u(low), weight));
      b = i32x4.add(b, i32x4.mul(i32x4.extend_high_i16x8_u(low), weight));
      c = i32x4.add(c, i32x4.mul(i32x4.extend_low_i16x8_u(high), weight));
      d = i32x4.add(d, i32x4.mul(i32x4.extend_high_i16x8_u(high), weight));
    }
    v128.store(to, clamped(a, b, c, d));
  }
}

function clamped(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_u(
    i16x8.narrow_i32x4_s(i32x4.shr_s(a, PRECISION), i32x4.shr_s(b, PRECISION)),
    i16x8.narrow_i32x4_s(i32x4.shr_s(c, PRECISION), i32x4.shr_s(d, PRECISION)),
  );
}

/** One row of means over blocks of `factor` × `rows` four-channel pixels; the last block may be narrower. */
export function reduceRow(from: usize, to: usize, width: i32, rows: i32, factor: i32): void {
  for (let x = 0; x < width; x += factor, to += 4) {
    const across = min(factor, width - x);
    let sum = i32x4.splat(0);
    for (let y = 0; y < rows; y++) {
      let at = from + (<usize> (y * width + x) << 2);
      for (const end = at + (<usize> across << 2); at < end; at += 4) {
        sum = i32x4.add(sum, i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at))));
      }
    }
    const mean = f32x4.nearest(f32x4.div(f32x4.convert_i32x4_s(sum), f32x4.splat(<f32> (across * rows))));
    const words = i32x4.trunc_sat_f32x4_s(mean);
    v128.store32_lane(to, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(words, words), words), 0);
  }
}
