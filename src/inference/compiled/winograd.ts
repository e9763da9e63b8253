/** The interpolation points of F(m×m, 3×3), without infinity; kernels/compiled/transforms.ts has the transforms. */
const POINTS: Record<number, number[]> = {
  2: [0, 1, -1],
  4: [0, 1, -1, 2, -2],
  6: [0, 1, -1, 2, -2, 0.5, -0.5],
};

/**
 * G, which transforms 3 weights to m + 2, by rows: for each point x, (1, x, x²) divided by the product of its distances to
 * the other points; then (0, 0, 1) (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016).
 */
export function weightMatrix(m: number): Float64Array<ArrayBuffer> {
  const points = POINTS[m];
  const rows = points.map((x, i) => {
    const product = points.reduce((product, y, j) => i === j ? product : product * (x - y), 1);
    // The transforms of the input take the point 0 with a positive sign.
    const divisor = x === 0 ? Math.abs(product) : product;
    return [1 / divisor, x / divisor, x * x / divisor];
  });
  return Float64Array.from([...rows, [0, 0, 1]].flat());
}

/** How many tiles an image has; those of a dilated convolution are counted for each phase. */
export function tileCount(width: number, height: number, dilation: number, m: number): number {
  const across = Math.ceil(Math.ceil(width / dilation) / m), down = Math.ceil(Math.ceil(height / dilation) / m);
  return across * down * dilation * dilation;
}
