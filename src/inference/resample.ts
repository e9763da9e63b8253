/*
 * Separable Lanczos resampling with a = 3 (C. E. Duchon, "Lanczos Filtering in One and Two Dimensions", Journal of Applied
 * Meteorology 18, 1979). When shrinking, the kernel is stretched by the scale so that it also removes what the smaller
 * image cannot hold (antialiasing). Like Pillow's `Image.LANCZOS`, with which the reference masks were made, it keeps 8-bit
 * values between its two passes.
 */

const LOBES = 3;

interface Weights {
  /** For each output position, the first input position that counts. */
  readonly start: Int32Array;
  /** For each output position, how many input positions count. */
  readonly count: Int32Array;
  /** `stride` weights for each output position; those of one position sum to 1. */
  readonly weights: Float64Array;
  readonly stride: number;
}

function lanczos(x: number): number {
  if (x === 0) return 1;
  if (x <= -LOBES || x >= LOBES) return 0;
  const px = Math.PI * x;
  return (LOBES * Math.sin(px) * Math.sin(px / LOBES)) / (px * px);
}

function lanczosWeights(inputSize: number, outputSize: number): Weights {
  const scale = inputSize / outputSize;
  const stretch = Math.max(1, scale);
  const support = LOBES * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const start = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const weights = new Float64Array(outputSize * stride);
  for (let out = 0; out < outputSize; out++) {
    const center = (out + 0.5) * scale;
    const from = Math.max(0, Math.floor(center - support + 0.5));
    const to = Math.min(inputSize, Math.floor(center + support + 0.5));
    let sum = 0;
    for (let i = from; i < to; i++) {
      const weight = lanczos((i - center + 0.5) / stretch);
      weights[out * stride + i - from] = weight;
      sum += weight;
    }
    for (let i = 0; i < to - from; i++) weights[out * stride + i] /= sum;
    start[out] = from;
    count[out] = to - from;
  }
  return { start, count, weights, stride };
}

/**
 * Resamples the colours of an image, leaving its alpha out.
 * @param rgba height×width×4, 0–255.
 * @returns outputHeight×outputWidth×3, 0–255.
 */
export function resampleRgb(
  rgba: Uint8Array,
  width: number,
  height: number,
  outputWidth: number,
  outputHeight: number,
): Uint8Array<ArrayBuffer> {
  const across = new Uint8ClampedArray(height * outputWidth * 3);
  const { start, count, weights, stride } = lanczosWeights(width, outputWidth);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < outputWidth; x++) {
      let from = (y * width + start[x]) * 4;
      let red = 0, green = 0, blue = 0;
      for (let i = x * stride, end = i + count[x]; i < end; i++) {
        const weight = weights[i];
        red += rgba[from] * weight;
        green += rgba[from + 1] * weight;
        blue += rgba[from + 2] * weight;
        from += 4;
      }
      // A clamped array rounds and limits what is put into it.
      across[to++] = red;
      across[to++] = green;
      across[to++] = blue;
    }
  }
  return resampleDown(across, outputWidth * 3, height, outputHeight);
}

/**
 * Resamples a single channel.
 * @param gray height×width, 0–255.
 * @returns outputHeight×outputWidth, 0–255.
 */
export function resampleGray(
  gray: Uint8Array,
  width: number,
  height: number,
  outputWidth: number,
  outputHeight: number,
): Uint8Array<ArrayBuffer> {
  const across = new Uint8ClampedArray(height * outputWidth);
  const { start, count, weights, stride } = lanczosWeights(width, outputWidth);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < outputWidth; x++) {
      let from = y * width + start[x];
      let value = 0;
      for (let i = x * stride, end = i + count[x]; i < end; i++) value += gray[from++] * weights[i];
      across[to++] = value;
    }
  }
  return resampleDown(across, outputWidth, height, outputHeight);
}

/**
 * Resamples an image with its alpha. Colours count by their alpha, so that what is hidden does not show at the edges.
 * @param rgba height×width×4, 0–255, colours not multiplied by alpha.
 * @returns outputHeight×outputWidth×4, the same.
 */
export function resampleRgba(
  rgba: Uint8Array,
  width: number,
  height: number,
  outputWidth: number,
  outputHeight: number,
): Uint8Array<ArrayBuffer> {
  const across = new Float32Array(height * outputWidth * 4);
  const horizontal = lanczosWeights(width, outputWidth);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < outputWidth; x++, to += 4) {
      let from = (y * width + horizontal.start[x]) * 4;
      let red = 0, green = 0, blue = 0, alpha = 0;
      for (let i = x * horizontal.stride, end = i + horizontal.count[x]; i < end; i++, from += 4) {
        const weight = horizontal.weights[i] * rgba[from + 3];
        red += rgba[from] * weight;
        green += rgba[from + 1] * weight;
        blue += rgba[from + 2] * weight;
        alpha += weight;
      }
      across[to] = red;
      across[to + 1] = green;
      across[to + 2] = blue;
      across[to + 3] = alpha;
    }
  }
  const output = new Uint8ClampedArray(outputHeight * outputWidth * 4);
  const vertical = lanczosWeights(height, outputHeight);
  const rowLength = outputWidth * 4;
  const sum = new Float64Array(rowLength);
  for (let y = 0; y < outputHeight; y++) {
    sum.fill(0);
    for (let i = 0; i < vertical.count[y]; i++) {
      const weight = vertical.weights[y * vertical.stride + i];
      const from = (vertical.start[y] + i) * rowLength;
      for (let x = 0; x < rowLength; x++) sum[x] += across[from + x] * weight;
    }
    for (let x = 0, to = y * rowLength; x < rowLength; x += 4, to += 4) {
      const alpha = sum[x + 3];
      // The ringing of the kernel may make alpha negative; half a step of 8 bits is nothing to divide by either.
      if (alpha < 0.5) continue;
      output[to] = sum[x] / alpha;
      output[to + 1] = sum[x + 1] / alpha;
      output[to + 2] = sum[x + 2] / alpha;
      output[to + 3] = alpha;
    }
  }
  return new Uint8Array(output.buffer);
}

/** The second pass, whole rows at a time: `rowLength` values each, whatever the channels. */
function resampleDown(
  rows: Uint8ClampedArray,
  rowLength: number,
  height: number,
  outputHeight: number,
): Uint8Array<ArrayBuffer> {
  const output = new Uint8ClampedArray(outputHeight * rowLength);
  const { start, count, weights, stride } = lanczosWeights(height, outputHeight);
  const sum = new Float64Array(rowLength);
  for (let y = 0; y < outputHeight; y++) {
    sum.fill(0);
    for (let i = 0; i < count[y]; i++) {
      const weight = weights[y * stride + i];
      const from = (start[y] + i) * rowLength;
      for (let x = 0; x < rowLength; x++) sum[x] += rows[from + x] * weight;
    }
    output.set(sum, y * rowLength);
  }
  return new Uint8Array(output.buffer);
}
