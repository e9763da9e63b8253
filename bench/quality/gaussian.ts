/** One channel after a Gaussian blur of standard deviation `sigma`; its outermost values continue beyond the borders. */
export function blurred(channel: Uint8Array, width: number, height: number, sigma: number): Float64Array {
  const across = blurLines(Float64Array.from(channel), width, height, sigma, { step: 1, lineStep: width });
  return blurLines(across, height, width, sigma, { step: width, lineStep: 1 });
}

function blurLines(
  values: Float64Array,
  length: number,
  lines: number,
  sigma: number,
  { step, lineStep }: { step: number; lineStep: number },
): Float64Array {
  const radius = Math.ceil(4 * sigma);
  const weights = Float64Array.from(
    { length: 2 * radius + 1 },
    (_, i) => Math.exp(-((i - radius) ** 2) / 2 / sigma ** 2),
  );
  const total = weights.reduce((sum, weight) => sum + weight);
  const padded = new Float64Array(length + 2 * radius);
  const output = new Float64Array(values.length);
  for (let line = 0; line < lines; line++) {
    const first = line * lineStep;
    for (let i = 0; i < padded.length; i++) {
      padded[i] = values[first + Math.min(length - 1, Math.max(0, i - radius)) * step];
    }
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * padded[i + k];
      output[first + i * step] = sum / total;
    }
  }
  return output;
}
