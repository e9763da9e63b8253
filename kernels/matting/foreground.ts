/*
 * Foreground and background colours by Germer, Uelwer, Conrad, Harmeling, "Fast Multi-Level Foreground Estimation", ICPR 2020
 * (equation 2 and algorithm 1). Colours are four f32, the fourth unused.
 */

/** How much neighbours' colours are alike at least, and how much more where alpha differs (ε_r and ω of the paper). */
const REGULARISATION: f32 = 1e-5;
const GRADIENT_WEIGHT: f32 = 1;

/** Every pixel of the target takes the four f32 of the pixel of the source at the same place (nearest neighbour). */
export function enlarge(from: usize, width: i32, height: i32, to: usize, toWidth: i32, toHeight: i32): void {
  for (let y = 0; y < toHeight; y++) {
    const row = from + (<usize> (y * height / toHeight * width) << 4);
    for (let x = 0; x < toWidth; x++, to += 16) v128.store(to, v128.load(row + (<usize> (x * width / toWidth) << 4)));
  }
}

/**
 * Improves foreground and background once, in place: each pixel's pair is the best for its colour, alpha and neighbours.
 * `image`: three colours and alpha, 0–1.
 */
export function separateColours(image: usize, foreground: usize, background: usize, width: i32, height: i32): void {
  const row = <usize> width << 4;
  const zero = f32x4.splat(0), one = f32x4.splat(1);
  for (let y = 0; y < height; y++) {
    const up = y > 0 ? row : 0, down = y < height - 1 ? row : 0;
    for (let x = 0; x < width; x++, image += 16, foreground += 16, background += 16) {
      const left: usize = x > 0 ? 16 : 0, right: usize = x < width - 1 ? 16 : 0;
      const alpha = load<f32>(image, 12);
      const alphaLeft = load<f32>(image - left, 12), alphaRight = load<f32>(image + right, 12);
      const alphaUp = load<f32>(image - up, 12), alphaDown = load<f32>(image + down, 12);
      const toLeft = REGULARISATION + GRADIENT_WEIGHT * abs(alpha - alphaLeft);
      const toRight = REGULARISATION + GRADIENT_WEIGHT * abs(alpha - alphaRight);
      const toUp = REGULARISATION + GRADIENT_WEIGHT * abs(alpha - alphaUp);
      const toDown = REGULARISATION + GRADIENT_WEIGHT * abs(alpha - alphaDown);
      const smooth = toLeft + toRight + toUp + toDown;
      const rest: f32 = 1 - alpha;
      const a = alpha * alpha + smooth, b = alpha * rest, c = rest * rest + smooth;
      const colour = v128.load(image);
      const l = f32x4.splat(toLeft), r = f32x4.splat(toRight), u = f32x4.splat(toUp), d = f32x4.splat(toDown);
      const front = f32x4.add(
        f32x4.mul(f32x4.splat(alpha), colour),
        around(foreground, left, right, up, down, l, r, u, d),
      );
      const back = f32x4.add(
        f32x4.mul(f32x4.splat(rest), colour),
        around(background, left, right, up, down, l, r, u, d),
      );
      const determinant: f32 = 1 / (a * c - b * b);
      const aa = f32x4.splat(determinant * a), bb = f32x4.splat(determinant * b), cc = f32x4.splat(determinant * c);
      v128.store(
        foreground,
        f32x4.max(zero, f32x4.min(one, f32x4.sub(f32x4.mul(cc, front), f32x4.mul(bb, back)))),
      );
      v128.store(
        background,
        f32x4.max(zero, f32x4.min(one, f32x4.sub(f32x4.mul(aa, back), f32x4.mul(bb, front)))),
      );
    }
  }
}

// @ts-ignore: decorator
@inline
function around(
  at: usize,
  left: usize,
  right: usize,
  up: usize,
  down: usize,
  l: v128,
  r: v128,
  u: v128,
  d: v128,
): v128 {
  return f32x4.add(
    f32x4.add(f32x4.mul(l, v128.load(at - left)), f32x4.mul(r, v128.load(at + right))),
    f32x4.add(f32x4.mul(u, v128.load(at - up)), f32x4.mul(d, v128.load(at + down))),
  );
}

/**
 * Replaces the colours of a row's translucent pixels by the foreground's, in place. `foreground` and `background`: the row's
 * colours (four f32 per cell, 0–1), `columns` as for `applyModels`. The colours of cells are those of several pixels, so a
 * pixel's pair is moved by the least that makes it mix to the pixel's own colour (the update of Germer et al. with the
 * cell's pair as the only neighbour).
 */
export function recolour(
  pixels: usize,
  alphas: usize,
  width: usize,
  foreground: usize,
  background: usize,
  columns: usize,
  smoothness: f32,
): void {
  const scale = f32x4.splat(1.0 / 255.0);
  for (const end = alphas + width; alphas < end; alphas++, pixels += 4, columns += 8) {
    const value = load<u8>(alphas);
    if (value === 0 || value === 255) continue;
    const cell = <usize> load<i32>(columns) << 4;
    const t = f32x4.splat(load<f32>(columns, 4));
    const f0 = v128.load(foreground + cell), b0 = v128.load(background + cell);
    const front = f32x4.add(f0, f32x4.mul(t, f32x4.sub(v128.load(foreground + cell, 16), f0)));
    const back = f32x4.add(b0, f32x4.mul(t, f32x4.sub(v128.load(background + cell, 16), b0)));
    const alpha: f32 = <f32> value / 255;
    const rest: f32 = 1 - alpha;
    const colour = f32x4.mul(
      f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(pixels)))),
      scale,
    );
    const mixed = f32x4.add(f32x4.mul(f32x4.splat(alpha), front), f32x4.mul(f32x4.splat(rest), back));
    const share: f32 = alpha / (alpha * alpha + rest * rest + smoothness);
    const pure = f32x4.add(front, f32x4.mul(f32x4.splat(share), f32x4.sub(colour, mixed)));
    const words = i32x4.trunc_sat_f32x4_s(
      f32x4.nearest(f32x4.mul(f32x4.max(f32x4.splat(0), f32x4.min(f32x4.splat(1), pure)), f32x4.splat(255))),
    );
    const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(words, words), words);
    const opacity = load<u8>(pixels, 3);
    v128.store32_lane(pixels, bytes, 0);
    store<u8>(pixels, opacity, 3);
  }
}
