/*
 * 3×3 convolutions, as Winograd F(m×m, 3×3): an output tile of m×m takes an input tile of (m + 2)×(m + 2), and each of its
 * elements is one plane of the product in product.ts. Tensors are [y][x][channel], with channels in whole vectors.
 *
 * A dilated convolution is `dilation`² convolutions, each of the pixels at one phase; its tiles are numbered phase by phase.
 */
import { input2, input4, input6, output2, output4, output6 } from "./transforms";

// Where the tile that `locate` has found begins, in pixels; one thread has one instance, so these are its own.
let top: i32 = 0;
let left: i32 = 0;

// @ts-ignore: decorator
@inline
function divideUp(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

function locate(tile: i32, m: i32, width: i32, height: i32, dilation: i32): void {
  const across = divideUp(divideUp(width, dilation), m), down = divideUp(divideUp(height, dilation), m);
  const phase = tile / (across * down), inPhase = tile - phase * across * down;
  const phaseY = phase / dilation, row = inPhase / across;
  top = phaseY + row * m * dilation;
  left = phase - phaseY * dilation + (inPhase - row * across) * m * dilation;
}

/**
 * Transforms `count` tiles of one source, from number `first` on, into the rows of a product. What lies outside of the
 * image is zero.
 * @param vectors channels / 4 of this source
 * @param depth channels of all sources
 * @param channel of all sources' channels, the first of this source; a multiple of 4
 * @param scratch room for a tile of (m + 2)² vectors and one of (m + 2)² pixels
 */
export function winogradInput(
  m: i32,
  from: usize,
  width: i32,
  height: i32,
  vectors: i32,
  dilation: i32,
  first: i32,
  count: i32,
  to: usize,
  plane: usize,
  depth: i32,
  channel: i32,
  scratch: usize,
): void {
  const size = m + 2, pixel = <usize> vectors << 4, patch = scratch + (<usize> (size * size) << 4);
  for (let i = 0; i < count; i++) {
    locate(first + i, m, width, height, dilation);
    const y = top - dilation, x = left - dilation, last = (size - 1) * dilation;
    const row = to + <usize> (i / 6) * (<usize> depth * 24) + <usize> (channel * 6 + (i % 6) * 4) * 4;
    if (y >= 0 && x >= 0 && y + last < height && x + last < width) {
      const step = pixel * dilation;
      inputTile(m, from + <usize> (y * width + x) * pixel, step * width, step, vectors, row, plane, scratch);
    } else {
      copyPatch(size, from, width, height, y, x, dilation, pixel, patch);
      inputTile(m, patch, pixel * size, pixel, vectors, row, plane, scratch);
    }
  }
}

function copyPatch(
  size: i32,
  from: usize,
  width: i32,
  height: i32,
  top: i32,
  left: i32,
  dilation: i32,
  pixel: usize,
  to: usize,
): void {
  for (let i = 0, y = top; i < size; i++, y += dilation) {
    for (let j = 0, x = left; j < size; j++, x += dilation, to += pixel) {
      if (y >= 0 && y < height && x >= 0 && x < width) memory.copy(to, from + <usize> (y * width + x) * pixel, pixel);
      else memory.fill(to, 0, pixel);
    }
  }
}

function inputTile(
  m: i32,
  from: usize,
  row: usize,
  pixel: usize,
  vectors: i32,
  to: usize,
  plane: usize,
  scratch: usize,
): void {
  for (; vectors > 0; vectors--, from += 16, to += 96) {
    if (m == 6) {
      input6(from, row, pixel, scratch, 128, 16, 8);
      input6(scratch, 16, 128, to, plane, 8 * plane, 8);
    } else if (m == 4) {
      input4(from, row, pixel, scratch, 96, 16, 6);
      input4(scratch, 16, 96, to, plane, 6 * plane, 6);
    } else {
      input2(from, row, pixel, scratch, 64, 16, 4);
      input2(scratch, 16, 64, to, plane, 4 * plane, 4);
    }
  }
}

/**
 * Transforms the product's rows back into `count` tiles of the output, from number `first` on; then adds the bias, applies
 * ReLU, and adds `residual`, a tensor like the output (0: none).
 * @param vectors channels / 4 of the output
 * @param rowLength bytes of one row of the product
 */
export function winogradOutput(
  m: i32,
  from: usize,
  plane: usize,
  rowLength: usize,
  to: usize,
  width: i32,
  height: i32,
  vectors: i32,
  dilation: i32,
  first: i32,
  count: i32,
  bias: usize,
  relu: bool,
  residual: usize,
  scratch: usize,
): void {
  const size = m + 2, pixel = <usize> vectors << 4, step = pixel * dilation, tile = scratch + (<usize> (size * m) << 4);
  const least = f32x4.splat(relu ? 0 : -f32.MAX_VALUE * 2);
  for (let i = 0; i < count; i++, from += rowLength) {
    locate(first + i, m, width, height, dilation);
    const rows = min(m, divideUp(height - top, dilation)), columns = min(m, divideUp(width - left, dilation));
    const offset = <usize> (top * width + left) * pixel;
    for (let vector = 0; vector < vectors; vector++) {
      const at = <usize> vector << 4;
      outputTile(m, from + at, plane, scratch, tile, rows);
      const biases = v128.load(bias + at);
      for (let y = 0; y < rows; y++) {
        let value = tile + (<usize> (y * m) << 4);
        let target = offset + at + <usize> y * step * width;
        for (let x = 0; x < columns; x++, value += 16, target += step) {
          let result = f32x4.pmax(least, f32x4.add(v128.load(value), biases));
          if (residual) result = f32x4.add(result, v128.load(residual + target));
          v128.store(to + target, result);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function outputTile(m: i32, from: usize, plane: usize, scratch: usize, to: usize, rows: i32): void {
  if (m == 6) {
    output6(from, 8 * plane, plane, scratch, 128, 16, 8);
    output6(scratch, 16, 128, to, 16, 96, rows);
  } else if (m == 4) {
    output4(from, 6 * plane, plane, scratch, 96, 16, 6);
    output4(scratch, 16, 96, to, 16, 64, rows);
  } else {
    output2(from, 4 * plane, plane, scratch, 64, 16, 4);
    output2(scratch, 16, 64, to, 16, 32, rows);
  }
}
