/* The steps between convolutions, on rows from `y` to `end` of the output. Tensors are [y][x][channel]. */
import { mix } from "./vector";

/** `count` pixels of three planes as pixels of four channels, the last of them 0. */
export function interleavePlanes(from: usize, plane: usize, to: usize, count: usize): void {
  for (const end = from + (count << 2); from < end; from += 4, to += 16) {
    store<f32>(to, load<f32>(from));
    store<f32>(to, load<f32>(from + plane), 4);
    store<f32>(to, load<f32>(from + 2 * plane), 8);
    store<f32>(to, 0, 12);
  }
}

/** The largest of each 2×2 pixels; at an odd edge, of those that there are. */
export function maxPool(from: usize, width: i32, height: i32, vectors: i32, to: usize, y: i32, end: i32): void {
  const pixel = <usize> vectors << 4, row = pixel * width, outputWidth = (width + 1) >> 1;
  to += <usize> (y * outputWidth) * pixel;
  for (; y < end; y++) {
    let above = from + <usize> (2 * y) * row, below = from + <usize> min(2 * y + 1, height - 1) * row;
    for (let x = 0; x < outputWidth; x++, above += pixel, below += pixel) {
      const right = 2 * x + 1 < width ? pixel : 0;
      for (const last = to + pixel; to < last; to += 16, above += 16, below += 16) {
        const upper = f32x4.pmax(v128.load(above), v128.load(above + right));
        v128.store(to, f32x4.pmax(upper, f32x4.pmax(v128.load(below), v128.load(below + right))));
      }
    }
  }
}

/**
 * Bilinear interpolation, by the half-pixel rule of PyTorch: (i + ½) × scale − ½, no less than 0.
 * @param scratch room for one row of the input
 */
export function resize(
  from: usize,
  width: i32,
  height: i32,
  vectors: i32,
  to: usize,
  outputWidth: i32,
  outputHeight: i32,
  y: i32,
  end: i32,
  scratch: usize,
): void {
  const pixel = <usize> vectors << 4, row = pixel * width;
  const scaleX = <f32> width / <f32> outputWidth, scaleY = <f32> height / <f32> outputHeight;
  to += <usize> (y * outputWidth) * pixel;
  for (; y < end; y++) {
    const exactY = max<f32>((<f32> y + 0.5) * scaleY - 0.5, 0), upper = <i32> exactY;
    mixRows(from + <usize> upper * row, from + <usize> min(upper + 1, height - 1) * row, exactY - <f32> upper, scratch, row);
    if (outputWidth == 2 * width) {
      doubleRow(scratch, row, pixel, to);
      to += 2 * row;
      continue;
    }
    for (let x = 0; x < outputWidth; x++) {
      const exactX = max<f32>((<f32> x + 0.5) * scaleX - 0.5, 0), left = <i32> exactX;
      let a = scratch + <usize> left * pixel;
      const share = f32x4.splat(exactX - <f32> left), right = left + 1 < width ? pixel : 0;
      for (const last = to + pixel; to < last; to += 16, a += 16) {
        v128.store(to, mix(v128.load(a), v128.load(a + right), share));
      }
    }
  }
}

/** A row of pixels resized to twice its width: a quarter of each pixel is that of its neighbour. */
function doubleRow(from: usize, row: usize, pixel: usize, to: usize): void {
  const quarter = f32x4.splat(0.25), first = from, last = from + row - pixel;
  for (; from <= last; from += pixel, to += 2 * pixel) {
    const left = from > first ? from - pixel : from, right = from < last ? from + pixel : from;
    for (let vector: usize = 0; vector < pixel; vector += 16) {
      const middle = v128.load(from + vector);
      v128.store(to + vector, mix(middle, v128.load(left + vector), quarter));
      v128.store(to + vector + pixel, mix(middle, v128.load(right + vector), quarter));
    }
  }
}

/** `length` bytes, a multiple of 16: upper + (lower − upper) × share. */
export function mixRows(upper: usize, lower: usize, share: f32, to: usize, length: usize): void {
  const shares = f32x4.splat(share);
  for (const end = to + length; to < end; to += 16, upper += 16, lower += 16) {
    v128.store(to, mix(v128.load(upper), v128.load(lower), shares));
  }
}

/** The sum of two tensors: `length` bytes, a multiple of 16. */
export function add(a: usize, b: usize, to: usize, length: usize): void {
  for (const end = to + length; to < end; to += 16, a += 16, b += 16) {
    v128.store(to, f32x4.add(v128.load(a), v128.load(b)));
  }
}
