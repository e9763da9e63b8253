/** Three box filters in a row come close to a Gaussian. */
const PASSES = 3;

/**
 * A Gaussian blur of one channel, height×width, in a time that does not depend on `sigma`, the standard deviation in
 * pixels: three extended box filters (P. Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box
 * Filtering", SSVM 2011). The ends of the boxes count in part, so that the variance is exact.
 */
export function blur(channel: Uint8Array, width: number, height: number, sigma: number): Uint8Array<ArrayBuffer> {
  const variance = (sigma * sigma) / PASSES;
  const radius = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const size = 2 * radius + 1;
  const squares = (radius * (radius + 1) * size) / 3;
  const ends = (variance * size - squares) / (2 * ((radius + 1) ** 2 - variance));
  let values = Float32Array.from(channel);
  for (let pass = 0; pass < PASSES; pass++) {
    values = boxBlur(values, { length: width, lines: height, step: 1, lineStep: width, radius, ends });
    values = boxBlur(values, { length: height, lines: width, step: width, lineStep: 1, radius, ends });
  }
  return new Uint8Array(Uint8ClampedArray.from(values).buffer);
}

/**
 * Means along lines, over `2 × radius + 1` values and the two values next to them, which count `ends` times each. The
 * outermost values of a line continue beyond it.
 */
function boxBlur(
  values: Float32Array<ArrayBuffer>,
  { length, lines, step, lineStep, radius, ends }: Record<
    "length" | "lines" | "step" | "lineStep" | "radius" | "ends",
    number
  >,
): Float32Array<ArrayBuffer> {
  const output = new Float32Array(values.length);
  const weight = 1 / (2 * radius + 1 + 2 * ends);
  for (let line = 0; line < lines; line++) {
    const first = line * lineStep;
    const at = (i: number) => values[first + Math.min(length - 1, Math.max(0, i)) * step];
    let sum = 0;
    for (let i = -radius; i <= radius; i++) sum += at(i);
    for (let i = 0; i < length; i++) {
      const after = at(i + radius + 1);
      output[first + i * step] = (sum + ends * (at(i - radius - 1) + after)) * weight;
      sum += after - at(i - radius);
    }
  }
  return output;
}
