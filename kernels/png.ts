/** The number of PNG's filter "Paeth" (PNG specification, third edition, section 9.4). */
const PAETH: u8 = 4;

/**
 * Filters the `length` bytes at `row`; the row above lies at `above`. Writes the filter's number, then the difference of
 * each byte to its prediction from the pixels to the left, above, and above left. Both rows must have `bytesPerPixel`
 * zeros before them. Writes up to 15 bytes beyond the end of the row.
 */
export function filterRow(row: usize, above: usize, to: usize, length: usize, bytesPerPixel: usize): void {
  store<u8>(to++, PAETH);
  for (let x: usize = 0; x < length; x += 16) {
    const a = v128.load(row + x - bytesPerPixel);
    const b = v128.load(above + x);
    const c = v128.load(above + x - bytesPerPixel);
    const low = predict(i16x8.extend_low_i8x16_u(a), i16x8.extend_low_i8x16_u(b), i16x8.extend_low_i8x16_u(c));
    const high = predict(i16x8.extend_high_i8x16_u(a), i16x8.extend_high_i8x16_u(b), i16x8.extend_high_i8x16_u(c));
    v128.store(to + x, i8x16.sub(v128.load(row + x), i8x16.narrow_i16x8_u(low, high)));
  }
}

/** For each of eight lanes: the one of a, b and c that is closest to a + b - c; the first of equally close ones. */
function predict(a: v128, b: v128, c: v128): v128 {
  const fromC = i16x8.sub(a, c);
  const toA = i16x8.sub(b, c);
  const distanceA = i16x8.abs(toA);
  const distanceB = i16x8.abs(fromC);
  const distanceC = i16x8.abs(i16x8.add(fromC, toA));
  const bOrC = v128.bitselect(b, c, i16x8.le_s(distanceB, distanceC));
  return v128.bitselect(a, bOrC, v128.and(i16x8.le_s(distanceA, distanceB), i16x8.le_s(distanceA, distanceC)));
}
