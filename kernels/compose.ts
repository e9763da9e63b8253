/*
 * Alpha and colours of cutouts, one row of RGBA pixels at a time. Rows are processed in whole vectors of 16 bytes, so the
 * functions read and write up to 15 bytes beyond the end of a row.
 */

/**
 * Multiplies the alpha of a row of `width` pixels by the row's `alphas`, in place. Both are 0–255 and stand for 0–1; the
 * product is rounded.
 */
export function cutOutRow(pixels: usize, alphas: usize, width: usize): void {
  const half = i32x4.splat(127);
  const one = i32x4.splat(1);
  const colours = i32x4.splat(0x00ffffff);
  for (const end = pixels + (width << 2); pixels < end; pixels += 16, alphas += 4) {
    const pixel = v128.load(pixels);
    const alpha = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(alphas)));
    // ⌊(ab + 127) / 255⌋, as ⌊v / 255⌋ = ⌊(v + ⌊v / 256⌋ + 1) / 256⌋ for v < 65535.
    const product = i32x4.add(i32x4.mul(i32x4.shr_u(pixel, 24), alpha), half);
    const quotient = i32x4.shr_u(i32x4.add(i32x4.add(product, i32x4.shr_u(product, 8)), one), 8);
    v128.store(pixels, v128.or(v128.and(pixel, colours), i32x4.shl(quotient, 24)));
  }
}

/** Puts `count` RGBA pixels, in place and in whole vectors of four, on an opaque gray: of 255ths, rounded. */
export function putOnGray(pixels: usize, count: usize, gray: u32): void {
  for (const end = pixels + (count << 2); pixels < end; pixels += 16) {
    // Of most pictures every pixel is opaque.
    if (i32x4.all_true(i32x4.eq(i32x4.shr_s(v128.load(pixels), 24), i32x4.splat(-1)))) continue;
    for (let at = pixels; at < pixels + 16; at += 4) {
      const alpha = <u32> load<u8>(at, 3);
      const behind = gray * (255 - alpha) + 127;
      store<u8>(at, (<u32> load<u8>(at) * alpha + behind) / 255);
      store<u8>(at, (<u32> load<u8>(at, 1) * alpha + behind) / 255, 1);
      store<u8>(at, (<u32> load<u8>(at, 2) * alpha + behind) / 255, 2);
      store<u8>(at, 255, 3);
    }
  }
}

/**
 * Copies a row of `width` pixels. A pixel becomes 0 if it and its eight neighbours are fully transparent. The rows above
 * and below lie `stride` bytes before and after; each row has zeros on both sides.
 */
export function clearHiddenRow(row: usize, stride: usize, to: usize, width: usize): void {
  const opacity = i32x4.splat(0xff000000);
  const nothing = i32x4.splat(0);
  for (const end = row + (width << 2); row < end; row += 16, to += 16) {
    const around = v128.or(v128.or(across(row - stride), across(row)), across(row + stride));
    const visible = i32x4.ne(v128.and(around, opacity), nothing);
    v128.store(to, v128.and(v128.load(row), visible));
  }
}

/**
 * The position of the first pixel in a row of `width` pixels whose alpha is at least `minAlpha`; `width` if there is none.
 * The bytes that pad the row to whole vectors must be 0.
 */
export function firstVisible(row: usize, width: i32, minAlpha: i32): i32 {
  for (let x = 0; x < width; x += 4) {
    const visible = visibleAt(row + (<usize> x << 2), minAlpha);
    if (visible !== 0) return x + ctz(visible);
  }
  return width;
}

/** Like {@link firstVisible}, but the last pixel; -1 if there is none. */
export function lastVisible(row: usize, width: i32, minAlpha: i32): i32 {
  for (let x = (width - 1) & ~3; x >= 0; x -= 4) {
    const visible = visibleAt(row + (<usize> x << 2), minAlpha);
    if (visible !== 0) return x + 31 - clz(visible);
  }
  return -1;
}

/** One bit for each of four pixels: is its alpha at least `minAlpha`? */
// @ts-ignore: decorator
@inline
function visibleAt(pixels: usize, minAlpha: i32): i32 {
  return i32x4.bitmask(i32x4.ge_s(i32x4.shr_u(v128.load(pixels), 24), i32x4.splat(minAlpha)));
}

/** Four pixels, each combined (bitwise or) with its left and right neighbours. */
// @ts-ignore: decorator
@inline
function across(row: usize): v128 {
  return v128.or(v128.or(v128.load(row - 4), v128.load(row)), v128.load(row + 4));
}
