/** One channel after a Gaussian blur of standard deviation `sigma`; its outermost values continue beyond the borders. */
export function blurred(channel: Uint8Array, width: number, height: number, sigma: number): Float64Array {
  const radius = Math.ceil(4 * sigma);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight);
  const along = (values: ArrayLike<number>, dx: number, dy: number) =>
    Float64Array.from({ length: width * height }, (_, i) => {
      const [x, y] = [i % width, Math.floor(i / width)];
      let sum = 0;
      for (let k = -radius; k <= radius; k++) {
        const column = Math.min(width - 1, Math.max(0, x + k * dx));
        const row = Math.min(height - 1, Math.max(0, y + k * dy));
        sum += weights[k + radius] * values[row * width + column];
      }
      return sum / total;
    });
  return along(along(channel, 1, 0), 0, 1);
}
