/* Steps on maps, tensors of one channel: [y][x]. */
import { mixRows } from "./elementwise";
import { multiplyAdd, sumLanes } from "./vector";

/**
 * A 3×3 convolution to one channel, rows from `y` to `end`.
 * @param weights [9][channels]
 * @param biasAt where the bias lies
 */
export function convolveToMap(
  from: usize,
  width: i32,
  height: i32,
  vectors: i32,
  weights: usize,
  biasAt: usize,
  to: usize,
  y: i32,
  end: i32,
): void {
  const pixel = <usize> vectors << 4, row = pixel * width, bias = load<f32>(biasAt);
  to += <usize> (y * width) << 2;
  for (; y < end; y++) {
    const firstTap = y == 0 ? 1 : 0, taps = y == height - 1 ? 2 : 3;
    const above = from + <usize> (y - 1) * row;
    for (let x = 0; x < width;) {
      if (x > 0 && x + 4 < width) {
        fourPixels(above + <usize> (x - 1) * pixel, row, pixel, weights, firstTap, taps, bias, to);
        x += 4;
        to += 16;
      } else {
        store<f32>(to, bias + onePixel(above, row, pixel, weights, firstTap, taps, x, width));
        x++;
        to += 4;
      }
    }
  }
}

/** Four pixels that have neighbours on both sides; `from` is the upper left neighbour of the first. */
// @ts-ignore: decorator
@inline
function fourPixels(
  from: usize,
  row: usize,
  pixel: usize,
  weights: usize,
  firstTap: i32,
  taps: i32,
  bias: f32,
  to: usize,
): void {
  let sum0 = f32x4.splat(0);
  let sum1 = f32x4.splat(0);
  let sum2 = f32x4.splat(0);
  let sum3 = f32x4.splat(0);
  for (let tap = firstTap; tap < taps; tap++) {
    let at = from + <usize> tap * row, w = weights + <usize> (tap * 3) * pixel;
    for (const end = w + pixel; w < end; w += 16, at += 16) {
      const left = v128.load(w), middle = v128.load(w + pixel), right = v128.load(w + 2 * pixel);
      let next = at;
      sum0 = multiplyAdd(v128.load(next), left, sum0);
      let value = v128.load(next += pixel);
      sum0 = multiplyAdd(value, middle, sum0);
      sum1 = multiplyAdd(value, left, sum1);
      value = v128.load(next += pixel);
      sum0 = multiplyAdd(value, right, sum0);
      sum1 = multiplyAdd(value, middle, sum1);
      sum2 = multiplyAdd(value, left, sum2);
      value = v128.load(next += pixel);
      sum1 = multiplyAdd(value, right, sum1);
      sum2 = multiplyAdd(value, middle, sum2);
      sum3 = multiplyAdd(value, left, sum3);
      value = v128.load(next += pixel);
      sum2 = multiplyAdd(value, right, sum2);
      sum3 = multiplyAdd(value, middle, sum3);
      sum3 = multiplyAdd(v128.load(next += pixel), right, sum3);
    }
  }
  store<f32>(to, bias + sumLanes(sum0));
  store<f32>(to, bias + sumLanes(sum1), 4);
  store<f32>(to, bias + sumLanes(sum2), 8);
  store<f32>(to, bias + sumLanes(sum3), 12);
}

function onePixel(
  above: usize,
  row: usize,
  pixel: usize,
  weights: usize,
  firstTap: i32,
  taps: i32,
  x: i32,
  width: i32,
): f32 {
  let sum = f32x4.splat(0);
  const first = x == 0 ? 1 : 0, last = x == width - 1 ? 2 : 3;
  for (let tapY = firstTap; tapY < taps; tapY++) {
    for (let tapX = first; tapX < last; tapX++) {
      let at = above + <usize> tapY * row + <usize> (x + tapX - 1) * pixel, w = weights + <usize> (tapY * 3 + tapX) * pixel;
      for (const end = w + pixel; w < end; w += 16, at += 16) sum = multiplyAdd(v128.load(at), v128.load(w), sum);
    }
  }
  return sumLanes(sum);
}

/** Sets `count` values. */
export function fillMap(to: usize, value: f32, count: usize): void {
  for (const end = to + (count << 2); to < end; to += 4) store<f32>(to, value);
}

/**
 * Adds `weight` times a map, resized as in {@link resize}, to rows from `y` to `end`.
 * @param scratch room for one row of the input, in whole vectors
 */
export function addMap(
  from: usize,
  width: i32,
  height: i32,
  weight: f32,
  to: usize,
  outputWidth: i32,
  outputHeight: i32,
  y: i32,
  end: i32,
  scratch: usize,
): void {
  const row = <usize> width << 2, wholeRow = (row + 15) & ~15;
  const scaleX = <f32> width / <f32> outputWidth, scaleY = <f32> height / <f32> outputHeight;
  to += <usize> (y * outputWidth) << 2;
  for (; y < end; y++) {
    const exactY = max<f32>((<f32> y + 0.5) * scaleY - 0.5, 0), upper = <i32> exactY;
    const lower = min(upper + 1, height - 1);
    mixRows(from + <usize> upper * row, from + <usize> lower * row, exactY - <f32> upper, scratch, wholeRow);
    for (let x = 0; x < outputWidth; x++, to += 4) {
      const exactX = max<f32>((<f32> x + 0.5) * scaleX - 0.5, 0), left = <i32> exactX;
      const a = load<f32>(scratch + (<usize> left << 2)), b = load<f32>(scratch + (<usize> min(left + 1, width - 1) << 2));
      store<f32>(to, load<f32>(to) + weight * (a + (b - a) * (exactX - <f32> left)));
    }
  }
}

/** 1 / (1 + e⁻ˣ) of `count` values, in place. */
export function sigmoid(at: usize, count: usize): void {
  for (const end = at + (count << 2); at < end; at += 4) {
    store<f32>(at, <f32> 1 / (<f32> 1 + Mathf.exp(-load<f32>(at))));
  }
}
