/*
 * Convolutions that Winograd's form does not pay for (1×1, strided, or of few pixels): the inputs of each output pixel are
 * gathered into one row of a product.
 */

/**
 * Gathers the inputs of `count` output pixels, from number `first` on, into the rows of a product. What lies outside of the
 * image is zero.
 * @param vectors channels / 4 of this source
 * @param outputWidth pixels in a row of the output
 * @param depth values of one row, of all sources
 * @param value of all sources' values, the first of this source; a multiple of 4
 */
export function gatherInput(
  kernel: i32,
  from: usize,
  width: i32,
  height: i32,
  vectors: i32,
  stride: i32,
  dilation: i32,
  outputWidth: i32,
  first: i32,
  count: i32,
  to: usize,
  depth: i32,
  value: i32,
): void {
  const pixel = <usize> vectors << 4, padding = (kernel >> 1) * dilation;
  for (let i = 0; i < count; i++) {
    const row = (first + i) / outputWidth, column = first + i - row * outputWidth;
    let at = to + <usize> (i / 6) * (<usize> depth * 24) + <usize> (value * 6 + (i % 6) * 4) * 4;
    for (let tapY = 0, y = row * stride - padding; tapY < kernel; tapY++, y += dilation) {
      for (let tapX = 0, x = column * stride - padding; tapX < kernel; tapX++, x += dilation) {
        const inside = y >= 0 && y < height && x >= 0 && x < width;
        let source = from + <usize> (y * width + x) * pixel;
        for (const end = at + <usize> vectors * 96; at < end; at += 96, source += 16) {
          v128.store(at, inside ? v128.load(source) : f32x4.splat(0));
        }
      }
    }
  }
}

/**
 * Writes `count` rows of a product as pixels: adds the bias, applies ReLU, and adds `residual`, pixels like the output's
 * (0: none).
 * @param rowLength bytes of one row of the product
 * @param vectors channels / 4 of the output
 */
export function gatherOutput(
  from: usize,
  rowLength: usize,
  to: usize,
  vectors: i32,
  count: i32,
  bias: usize,
  relu: bool,
  residual: usize,
): void {
  const least = f32x4.splat(relu ? 0 : -f32.MAX_VALUE * 2), pixel = <usize> vectors << 4;
  for (; count > 0; count--, from += rowLength) {
    for (let at: usize = 0; at < pixel; at += 16, to += 16) {
      let result = f32x4.pmax(least, f32x4.add(v128.load(from + at), v128.load(bias + at)));
      if (residual) {
        result = f32x4.add(result, v128.load(residual));
        residual += 16;
      }
      v128.store(to, result);
    }
  }
}
