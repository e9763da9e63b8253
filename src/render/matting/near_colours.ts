import type { Size } from "../../base/layout.ts";
import type { KernelMemory } from "../../image/kernels.ts";
import { type Cells, planeView } from "./cells.ts";
import { reachIn } from "./uncertain.ts";

/** How far away colours are collected, in pixels of the mask: near, and as a fallback far. */
const NEAR_RADIUS = 3;
const FAR_RADIUS = 16;

/** Far colours count as much as this share of one cell, so near ones prevail if there are any. */
const FAR_WEIGHT = 0.1;

/** A smaller sum of weights in the far window means that there is no colour. */
const MIN_FAR_SUM = 1e-2;

/** Colours of subject and background around each cell: height×width×4, with 1 as fourth if known, else 0. */
export interface NearColours {
  readonly foreground: Float32Array;
  readonly background: Float32Array;
}

/**
 * Means of the colours near each cell, weighted as subject with m⁸ and as background with (1−m)⁸: mixed colours say little
 * about either.
 * @param scratch the address of 80 bytes per cell, and 16 more per cell of a row; the result lies in it.
 */
export function nearColours(
  memory: KernelMemory,
  { grid, colours, mask }: Cells,
  size: Size,
  scratch: number,
): NearColours {
  const { width, height, stride } = grid;
  const count = width * height;
  const [foreground, background, source, near, far, row] = [0, 1, 2, 3, 4, 5].map((i) => scratch + i * count * 16);
  const vectors = (address: number) => new Float32Array(memory.run.memory.buffer, address, count * 4);
  const alpha = planeView(memory, grid, mask);
  const [red, green, blue] = [0, 1, 2].map((channel) => planeView(memory, grid, colours + channel * grid.plane));
  const sumWithin = (radius: number, to: number) => {
    memory.bytes.fill(0, row, row + width * 16);
    memory.run.sumWindows(source, to, width, height, ...reachIn(grid, size, radius), row);
    return vectors(to);
  };
  const layer = (address: number, share: (m: number) => number) => {
    const weighted = vectors(source);
    for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0, i = y * stride; x < width; x++, i++, to += 4) {
        const square = share(alpha[i]) ** 2;
        const weight = square * square * square * square;
        weighted[to] = weight * red[i];
        weighted[to + 1] = weight * green[i];
        weighted[to + 2] = weight * blue[i];
        weighted[to + 3] = weight;
      }
    }
    const [nearSums, farSums] = [sumWithin(NEAR_RADIUS, near), sumWithin(FAR_RADIUS, far)];
    const means = vectors(address);
    for (let at = 0; at < means.length; at += 4) {
      const known = farSums[at + 3] > MIN_FAR_SUM;
      means[at + 3] = known ? 1 : 0;
      if (!known) continue;
      const farShare = FAR_WEIGHT / farSums[at + 3];
      const total = Math.max(0, nearSums[at + 3]) + FAR_WEIGHT;
      for (let c = at; c < at + 3; c++) means[c] = (nearSums[c] + farShare * farSums[c]) / total;
    }
    return means;
  };
  return { foreground: layer(foreground, (m) => m), background: layer(background, (m) => 1 - m) };
}
