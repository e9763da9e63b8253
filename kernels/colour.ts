/* Colour spaces whose channels become light by themselves: see `src/image/colour/`. */

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
