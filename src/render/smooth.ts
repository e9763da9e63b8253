/**
 * Morphological opening by a cross of 3 × 3: takes away what is thinner than that, such as specks and hairs (Serra, Image
 * Analysis and Mathematical Morphology, 1982). What is beyond the image's border does not count.
 * @param alpha height×width, 0–255.
 */
export function openByCross(alpha: Uint8Array, width: number, height: number): Uint8Array<ArrayBuffer> {
  return extremes(extremes(alpha, width, height, Math.min), width, height, Math.max);
}

/** Of each pixel and its four neighbours, the least or the greatest. */
function extremes(
  values: Uint8Array,
  width: number,
  height: number,
  of: (a: number, b: number) => number,
): Uint8Array<ArrayBuffer> {
  const output = new Uint8Array(values.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      let value = values[i];
      if (x > 0) value = of(value, values[i - 1]);
      if (x < width - 1) value = of(value, values[i + 1]);
      if (y > 0) value = of(value, values[i - width]);
      if (y < height - 1) value = of(value, values[i + width]);
      output[i] = value;
    }
  }
  return output;
}
