import type { Mask, Pixels } from "../base/pixels.ts";
import { borrowKernels } from "../image/kernels.ts";

/** Multiplies the image's alpha by `alpha`, in place. Colours are not multiplied, so that edges get no dark fringe. */
export function cutOut(image: Pixels, alpha: Mask): Pixels {
  const { data, width, height } = image;
  using memory = borrowKernels();
  const row = memory.reserve(width * 4 + 16);
  const alphas = memory.reserve(width + 16);
  const { bytes, run } = memory;
  const result = bytes.subarray(row, row + width * 4);
  for (let y = 0; y < height; y++) {
    const at = y * width * 4;
    bytes.set(data.subarray(at, at + width * 4), row);
    bytes.set(alpha.data.subarray(y * width, (y + 1) * width), alphas);
    run.cutOutRow(row, alphas, width);
    data.set(result, at);
  }
  return image;
}
