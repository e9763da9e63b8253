/* What happens before and after a model runs: colours become its input, and its output becomes a mask. */

/** The maximum of all red, green and blue values in `length` bytes of RGBA. Padding to whole vectors of 16 must be 0. */
export function maxColour(from: usize, length: usize): u32 {
  const colours = i32x4.splat(0x00ffffff);
  let maxima = i32x4.splat(0);
  for (const end = from + length; from < end; from += 16) {
    maxima = i8x16.max_u(maxima, v128.and(v128.load(from), colours));
  }
  // The upper half onto the lower half: eight bytes are left to compare.
  maxima = i8x16.max_u(maxima, v128.shuffle<u8>(maxima, maxima, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const word = i64x2.extract_lane(maxima, 0);
  let maximum: u32 = 0;
  for (let shift: u64 = 0; shift < 64; shift += 8) maximum = max(maximum, <u32> ((word >> shift) & 255));
  return maximum;
}

/**
 * Splits a row of `width` RGBA pixels into three consecutive rows of float32, one per colour. Each value is looked up in
 * its channel's table of 256 float32 numbers; the three tables follow each other.
 */
export function planesOfRow(from: usize, to: usize, width: usize, tables: usize): void {
  const next = width << 2;
  for (const end = from + next; from < end; from += 4, to += 4) {
    store<f32>(to, load<f32>(tables + (<usize> load<u8>(from) << 2)));
    store<f32>(to + next, load<f32>(tables + (<usize> load<u8>(from, 1) << 2), 1024));
    store<f32>(to + 2 * next, load<f32>(tables + (<usize> load<u8>(from, 2) << 2), 2048));
  }
}

/**
 * The minimum of `count` float32 numbers, which must fill whole vectors of four. NaN is ignored; infinity if there are no
 * numbers.
 */
export function minOf(from: usize, count: usize): f32 {
  let found = f32x4.splat(f32.MAX_VALUE * 2);
  for (const end = from + (count << 2); from < end; from += 16) found = f32x4.pmin(found, v128.load(from));
  return min(
    min(f32x4.extract_lane(found, 0), f32x4.extract_lane(found, 1)),
    min(f32x4.extract_lane(found, 2), f32x4.extract_lane(found, 3)),
  );
}

/** Like {@link minOf}, but the maximum; minus infinity if there are no numbers. */
export function maxOf(from: usize, count: usize): f32 {
  let found = f32x4.splat(-f32.MAX_VALUE * 2);
  for (const end = from + (count << 2); from < end; from += 16) found = f32x4.pmax(found, v128.load(from));
  return max(
    max(f32x4.extract_lane(found, 0), f32x4.extract_lane(found, 1)),
    max(f32x4.extract_lane(found, 2), f32x4.extract_lane(found, 3)),
  );
}

/** Turns `count` float32 numbers into bytes: ⌊(x − low) / range × 255⌋ in float64, clamped to 0–255; NaN becomes 0. */
export function stretch(from: usize, to: usize, count: usize, low: f64, range: f64): void {
  for (const end = to + count; to < end; from += 4, to++) {
    const value = floor((<f64> load<f32>(from) - low) / range * 255);
    store<u8>(to, value > 0 ? <u8> min<f64>(value, 255) : 0);
  }
}
