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
 * from there to the next node, 0 to 256. Interpolates in the tetrahedron of nodes around a colour (J. M. Kasson et al.,
 * "Performing color space conversions with three-dimensional linear interpolation", Journal of Electronic Imaging 4, 1995).
 */
export function interpolateColours(pixels: usize, count: usize, nodes: usize, side: usize, cells: usize): void {
  const toRed = (side * side) << 2;
  const toGreen = side << 2;
  const toBlue: usize = 4;
  for (const end = pixels + (count << 2); pixels < end; pixels += 4) {
    const red = load<u32>(cells + (<usize> load<u8>(pixels) << 2));
    const green = load<u32>(cells + (<usize> load<u8>(pixels, 1) << 2));
    const blue = load<u32>(cells + (<usize> load<u8>(pixels, 2) << 2));
    const node = nodes + (red >> 9) * toRed + (green >> 9) * toGreen + (blue >> 9) * toBlue;
    const r = red & 511, g = green & 511, b = blue & 511;
    // From the node below to the one above, along the channel with the largest distance first.
    let first = r, second = g, third = b;
    let stepOne = toRed, stepTwo = toRed + toGreen;
    if (r >= g) {
      if (g < b) {
        if (r >= b) {
          second = b, third = g, stepTwo = toRed + toBlue;
        } else {
          first = b, second = r, third = g, stepOne = toBlue, stepTwo = toBlue + toRed;
        }
      }
    } else if (r >= b) {
      first = g, second = r, stepOne = toGreen;
    } else if (g >= b) {
      first = g, second = b, third = r, stepOne = toGreen, stepTwo = toGreen + toBlue;
    } else {
      first = b, second = g, third = r, stepOne = toBlue, stepTwo = toBlue + toGreen;
    }
    const sum = i16x8.add(
      i16x8.add(weighted(node, 256 - first), weighted(node + stepOne, first - second)),
      i16x8.add(weighted(node + stepTwo, second - third), weighted(node + toRed + toGreen + toBlue, third)),
    );
    const colour = i16x8.shr_u(i16x8.add(sum, i16x8.splat(128)), 8);
    store<u8>(pixels, <u8> i16x8.extract_lane_u(colour, 0));
    store<u8>(pixels, <u8> i16x8.extract_lane_u(colour, 1), 1);
    store<u8>(pixels, <u8> i16x8.extract_lane_u(colour, 2), 2);
  }
}

// @ts-ignore: decorator
@inline
function weighted(node: usize, weight: u32): v128 {
  return i16x8.mul(i16x8.extend_low_i8x16_u(v128.load32_zero(node)), i16x8.splat(<i16> weight));
}
