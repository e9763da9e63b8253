/* Grids of cells for matting: means of an image's pixels in cells, and sums over windows of cells. */

/**
 * Adds a row of `width` RGBA pixels to the sums of cells: four u32 each, of red, green, blue and of `alphas`, which replace
 * the pixels' own alpha. `columns` holds the cell of each pixel (i32).
 */
export function addToCells(pixels: usize, alphas: usize, width: usize, columns: usize, sums: usize): void {
  for (const end = pixels + (width << 2); pixels < end; pixels += 4, alphas++, columns += 4) {
    const at = sums + (<usize> load<i32>(columns) << 4);
    const pixel = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(pixels)));
    v128.store(at, i32x4.add(v128.load(at), i32x4.replace_lane(pixel, 3, load<u8>(alphas))));
  }
}

/**
 * Sums of cells of four f32 channels over windows that reach `across` and `down` cells to each side, with running sums, so
 * the time does not depend on the window. Cells beyond the grid count as 0. `scratch`: a row of `width` zeros.
 */
export function sumWindows(
  from: usize,
  to: usize,
  width: i32,
  height: i32,
  across: i32,
  down: i32,
  scratch: usize,
): void {
  const row = <usize> width << 4;
  for (let y = 0; y < min(down, height); y++) addRow(from + <usize> y * row, scratch, row);
  for (let y = 0; y < height; y++, to += row) {
    if (y + down < height) addRow(from + <usize> (y + down) * row, scratch, row);
    if (y - down > 0) subtractRow(from + <usize> (y - down - 1) * row, scratch, row);
    let sum = f32x4.splat(0);
    for (let x = 0; x < min(across, width); x++) sum = f32x4.add(sum, v128.load(scratch + (<usize> x << 4)));
    for (let x = 0; x < width; x++) {
      if (x + across < width) sum = f32x4.add(sum, v128.load(scratch + (<usize> (x + across) << 4)));
      if (x - across > 0) sum = f32x4.sub(sum, v128.load(scratch + (<usize> (x - across - 1) << 4)));
      v128.store(to + (<usize> x << 4), sum);
    }
  }
}

// @ts-ignore: decorator
@inline
function addRow(row: usize, sums: usize, length: usize): void {
  for (const end = row + length; row < end; row += 16, sums += 16) {
    v128.store(sums, f32x4.add(v128.load(sums), v128.load(row)));
  }
}

// @ts-ignore: decorator
@inline
function subtractRow(row: usize, sums: usize, length: usize): void {
  for (const end = row + length; row < end; row += 16, sums += 16) {
    v128.store(sums, f32x4.sub(v128.load(sums), v128.load(row)));
  }
}
