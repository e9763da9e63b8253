/* Conversions of colours: see `src/image/colour/`. */

/**
 * Converts `count` RGBA pixels in place. `lights` holds, for each of 3 channels and 256 values, four float32 numbers: the
 * light that the value adds to red, green and blue, in steps. `encoded` holds a byte for each of `most` + 1 steps.
 */
export function convertColours(pixels: usize, count: usize, lights: usize, encoded: usize, most: i32): void {
  const none = f32x4.splat(0);
  const all = f32x4.splat(<f32> most);
  for (const end = pixels + (count << 2); pixels < end; pixels += 4) {
    const light = f32x4.add(
      f32x4.add(
        v128.load(lights + (<usize> load<u8>(pixels) << 4)),
        v128.load(lights + (<usize> load<u8>(pixels, 1) << 4), 4096),
      ),
      v128.load(lights + (<usize> load<u8>(pixels, 2) << 4), 8192),
    );
    const step = i32x4.trunc_sat_f32x4_s(f32x4.min(f32x4.max(light, none), all));
    store<u8>(pixels, load<u8>(encoded + <usize> i32x4.extract_lane(step, 0)));
    store<u8>(pixels, load<u8>(encoded + <usize> i32x4.extract_lane(step, 1)), 1);
    store<u8>(pixels, load<u8>(encoded + <usize> i32x4.extract_lane(step, 2)), 2);
  }
}

/**
 * Converts `count` RGBA pixels in place by a cube of colours, `side` nodes along each channel: RGBA in 4 bytes, red first.
 * `cells` holds a 32-bit number for each of the 256 values of a channel: the node below it, times 512, and its distance
 * from there to the next node, 0 to 256.
 */
export function interpolateColours(pixels: usize, count: usize, nodes: usize, side: usize, cells: usize): void {
  const toRed = (side * side) << 2;
  const toGreen = side << 2;
  for (const end = pixels + (count << 2); pixels < end; pixels += 4) {
    const red = cellOf(pixels, cells), green = cellOf(pixels + 1, cells), blue = cellOf(pixels + 2, cells);
    const node = nodes + (red >> 9) * toRed + (green >> 9) * toGreen + ((blue >> 9) << 2);
    const sum = interpolated(node, red & 511, green & 511, blue & 511, toRed, toGreen, 4);
    const colour = i16x8.shr_u(i16x8.add(sum, i16x8.splat(128)), 8);
    store<u8>(pixels, <u8> i16x8.extract_lane_u(colour, 0));
    store<u8>(pixels, <u8> i16x8.extract_lane_u(colour, 1), 1);
    store<u8>(pixels, <u8> i16x8.extract_lane_u(colour, 2), 2);
  }
}

/**
 * Converts `count` pixels of cyan, magenta, yellow and black in place to opaque RGBA. Between two nodes of cyan it is
 * linear, as in LittleCMS; each node of the `side` - 1 cubes has 8 bytes: its colour, and that of the next cyan.
 */
export function interpolateInks(pixels: usize, count: usize, nodes: usize, side: usize, cells: usize): void {
  const toYellow = side << 3;
  const toMagenta = toYellow * side;
  const toCyan = toMagenta * side;
  for (const end = pixels + (count << 2); pixels < end; pixels += 4) {
    const cyan = cellOf(pixels, cells), magenta = cellOf(pixels + 1, cells);
    const yellow = cellOf(pixels + 2, cells), black = cellOf(pixels + 3, cells);
    const node = nodes + (cyan >> 9) * toCyan + (magenta >> 9) * toMagenta + (yellow >> 9) * toYellow + ((black >> 9) << 3);
    const sums = interpolated(node, magenta & 511, yellow & 511, black & 511, toMagenta, toYellow, 8);
    const above = <i16> (cyan & 511);
    const colour = i32x4.add(
      i32x4.extmul_low_i16x8_u(sums, i16x8.splat(256 - above)),
      i32x4.extmul_high_i16x8_u(sums, i16x8.splat(above)),
    );
    const rounded = i32x4.shr_u(i32x4.add(colour, i32x4.splat(32_768)), 16);
    store<u8>(pixels, <u8> i32x4.extract_lane(rounded, 0));
    store<u8>(pixels, <u8> i32x4.extract_lane(rounded, 1), 1);
    store<u8>(pixels, <u8> i32x4.extract_lane(rounded, 2), 2);
    store<u8>(pixels, 255, 3);
  }
}

// @ts-ignore: decorator
@inline
function cellOf(value: usize, cells: usize): u32 {
  return load<u32>(cells + (<usize> load<u8>(value) << 2));
}

/**
 * The colours of 8 bytes, times 256, in the tetrahedron of nodes around a place: from the node below to the one above,
 * along the axis with the largest distance first (J. M. Kasson et al., "Performing color space conversions with
 * three-dimensional linear interpolation", Journal of Electronic Imaging 4, 1995).
 */
// @ts-ignore: decorator
@inline
function interpolated(node: usize, x: u32, y: u32, z: u32, toX: usize, toY: usize, toZ: usize): v128 {
  const first = max(max(x, y), z);
  const third = min(min(x, y), z);
  const second = x + y + z - first - third;
  const all = toX + toY + toZ;
  const stepOne = select(toX, select(toY, toZ, y == first), x == first);
  const stepTwo = all - select(toZ, select(toY, toX, y == third), z == third);
  return i16x8.add(
    i16x8.add(weighted(node, 256 - first), weighted(node + stepOne, first - second)),
    i16x8.add(weighted(node + stepTwo, second - third), weighted(node + all, third)),
  );
}

// @ts-ignore: decorator
@inline
function weighted(node: usize, weight: u32): v128 {
  return i16x8.mul(v128.load8x8_u(node), i16x8.splat(<i16> weight));
}
