import { borrowKernels } from "../../src/image/kernels.ts";
import { resampleColours } from "../../src/image/resample.ts";
import type { Pixels } from "../../src/base/pixels.ts";

/** The colours of an image at another size, in opaque pixels: height×width×4. */
export function resampledColours(image: Pixels, width: number, height: number): Uint8Array<ArrayBuffer> {
  using memory = borrowKernels();
  const { address, rowLength } = resampleColours(memory, image, width, height, 128);
  const output = new Uint8Array(height * width * 4);
  for (let y = 0; y < height; y++) {
    const from = address + y * rowLength;
    output.set(memory.bytes.subarray(from, from + width * 4), y * width * 4);
  }
  for (let alpha = 3; alpha < output.length; alpha += 4) output[alpha] = 255;
  return output;
}
