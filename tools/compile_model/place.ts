/** When a tensor is written and when it is read last, by the index of the step. */
export interface Lifetime {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

/** Caches fetch lines of as many bytes. */
const LINE = 64;

/**
 * Places tensors in one memory, so that no two that live at once overlap: the largest first, each at the lowest address
 * that is free throughout its life (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020:
 * greedy by size).
 * @returns the address of each, and how many bytes they take together.
 */
export function place(lifetimes: readonly Lifetime[]): { at: number[]; bytes: number } {
  const at = new Array<number>(lifetimes.length).fill(0);
  const placed: number[] = [];
  let bytes = 0;
  const order = [...lifetimes.keys()].sort((a, b) => lifetimes[b].bytes - lifetimes[a].bytes || a - b);
  for (const index of order) {
    const { from, to, bytes: size } = lifetimes[index];
    const neighbours = placed.filter((other) => lifetimes[other].from <= to && lifetimes[other].to >= from)
      .sort((a, b) => at[a] - at[b]);
    let address = 0;
    for (const other of neighbours) {
      if (at[other] - address >= size) break;
      address = Math.max(address, Math.ceil((at[other] + lifetimes[other].bytes) / LINE) * LINE);
    }
    at[index] = address;
    placed.push(index);
    bytes = Math.max(bytes, address + size);
  }
  return { at, bytes };
}
