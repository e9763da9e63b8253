/* The ends of a model: colours into its input, and its output into a mask. */

/** The largest colour in `length` bytes of RGBA, in whole vectors of 16; what fills them up is 0. */
export function largestColour(from: usize, length: usize): u32 {
  const colours = i32x4.splat(0x00ffffff);
  let most = i32x4.splat(0);
  for (const end = from + length; from < end; from += 16) {
    most = i8x16.max_u(most, v128.and(v128.load(from), colours));
  }
  // Halves onto halves, until one byte is left.
  most = i8x16.max_u(most, v128.shuffle<u8>(most, most, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const word = i64x2.extract_lane(most, 0);
  let largest: u32 = 0;
  for (let shift: u64 = 0; shift < 64; shift += 8) largest = max(largest, <u32> ((word >> shift) & 255));
  return largest;
}

/**
 * A row of `width` RGBA pixels as three rows of float32, one after another: each colour is looked up in the 256 numbers of
 * its channel, the three of which lie one after another too.
 */
export function planesOfRow(from: usize, to: usize, width: usize, tables: usize): void {
  const next = width << 2;
  for (const end = from + next; from < end; from += 4, to += 4) {
    store<f32>(to, load<f32>(tables + (<usize> load<u8>(from) << 2)));
    store<f32>(to + next, load<f32>(tables + (<usize> load<u8>(from, 1) << 2), 1024));
    store<f32>(to + 2 * next, load<f32>(tables + (<usize> load<u8>(from, 2) << 2), 2048));
  }
}

/** The least of `count` float32 numbers, in whole vectors of four, that are numbers; infinity where none is. */
export function least(from: usize, count: usize): f32 {
  let found = f32x4.splat(f32.MAX_VALUE * 2);
  for (const end = from + (count << 2); from < end; from += 16) found = f32x4.pmin(found, v128.load(from));
  return min(
    min(f32x4.extract_lane(found, 0), f32x4.extract_lane(found, 1)),
    min(f32x4.extract_lane(found, 2), f32x4.extract_lane(found, 3)),
  );
}

/** As {@link least}, the greatest; minus infinity where none is. */
export function greatest(from: usize, count: usize): f32 {
  let found = f32x4.splat(-f32.MAX_VALUE * 2);
  for (const end = from + (count << 2); from < end; from += 16) found = f32x4.pmax(found, v128.load(from));
  return max(
    max(f32x4.extract_lane(found, 0), f32x4.extract_lane(found, 1)),
    max(f32x4.extract_lane(found, 2), f32x4.extract_lane(found, 3)),
  );
}

/** `count` float32 numbers as bytes: ⌊(x − low) / range × 255⌋, in float64 and within 0 to 255; 0 for what is no number. */
export function stretch(from: usize, to: usize, count: usize, low: f64, range: f64): void {
  for (const end = to + count; to < end; from += 4, to++) {
    const value = floor((<f64> load<f32>(from) - low) / range * 255);
    store<u8>(to, value > 0 ? <u8> min<f64>(value, 255) : 0);
  }
}
