import type { Pixels } from "../base/pixels.ts";
import { borrowKernels, wholeVectors } from "../image/kernels.ts";
import type { RenderContext } from "./step.ts";

/**
 * Without a background: removes the colour of pixels that are fully transparent, with all their neighbours, in place. A
 * background that is only invisible has not been removed, and nothing compresses as well as zeros. Pixels next to the
 * subject keep their colours, for programs that scale colours without regard to alpha.
 */
export function clearHidden(cutout: Pixels, { options, picture }: RenderContext): Pixels {
  if (picture !== undefined || options.background !== undefined) return cutout;
  const { data, width, height } = cutout;
  using memory = borrowKernels();
  // Three rows with zeros around them: pixels beyond the image are not visible.
  const stride = 16 + wholeVectors(width * 4);
  const above = memory.reserve(3 * stride + 16) + 16;
  const [here, below] = [above + stride, above + 2 * stride];
  const cleared = memory.reserve(width * 4 + 16);
  const { bytes, run } = memory;
  const rowLength = width * 4;
  const result = bytes.subarray(cleared, cleared + rowLength);
  bytes.set(data.subarray(0, rowLength), below);
  for (let y = 0; y < height; y++) {
    bytes.copyWithin(above, here, below + rowLength);
    const next = (y + 1) * rowLength;
    if (y + 1 < height) bytes.set(data.subarray(next, next + rowLength), below);
    else bytes.fill(0, below, below + rowLength);
    run.clearHiddenRow(here, stride, cleared, width);
    data.set(result, y * rowLength);
  }
  return cutout;
}
