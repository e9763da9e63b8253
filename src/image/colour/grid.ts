/** Where a profile is sampled: `side` nodes along each channel, which divide its 256 values evenly. */
export interface Grid {
  readonly channels: 3 | 4;
  readonly side: number;
}

/** Every fifth value: 52³ nodes. */
export const RGB_GRID: Grid = { channels: 3, side: 52 };
/** 17⁴ nodes, as many as LittleCMS makes for 8-bit CMYK. */
export const CMYK_GRID: Grid = { channels: 4, side: 17 };

/** The colours of all nodes, 4 bytes each; the first channel changes slowest. RGB has an alpha of 255. */
export function nodesOf(grid: Grid): Uint8Array<ArrayBuffer> {
  const { channels, side } = grid;
  const nodes = new Uint8Array(4 * side ** channels).fill(255);
  for (let node = 0; node < side ** channels; node++) {
    for (let channel = channels - 1, rest = node; channel >= 0; channel--, rest = Math.floor(rest / side)) {
      nodes[4 * node + channel] = valueAt(rest % side, side);
    }
  }
  return nodes;
}

/** For each of a channel's values: the node below it, times 512, and its distance from there to the next node, 0 to 256. */
export function cellsOf({ side }: Grid): Int32Array {
  return Int32Array.from({ length: 256 }, (_, value) => {
    let below = 0;
    while (below < side - 2 && valueAt(below + 1, side) <= value) below++;
    const [low, high] = [valueAt(below, side), valueAt(below + 1, side)];
    return below * 512 + Math.round(256 * (value - low) / (high - low));
  });
}

function valueAt(step: number, side: number): number {
  return Math.round(255 * step / (side - 1));
}
