import { runInNewContext } from "node:vm";

/** Garbage that is worth a collection, in bytes: what the codec of a picture of 3 megapixels leaves. */
const COLLECT_AFTER = 24_000_000;

/** A picture of 10 megapixels. */
const COLLECT_NOW = 40_000_000;

let garbage = 0;
let collect: (() => void) | undefined;

/** Gives the memory of a buffer back at once: nobody has any more use for what is in it. */
export function release({ buffer }: ArrayBufferView<ArrayBuffer>): void {
  if (!buffer.detached) buffer.transfer(0);
}

/**
 * Counts what cannot be freed, the memories of codecs above all, and has it collected, after the answer, once it is much:
 * V8 lets it lie for long where the rest of the heap is small. A collection takes some 40 ms, so small pictures must not
 * have one each. Where nobody has given V8 the flag `--expose-gc`, that is how it stays.
 */
export function collectAfter(bytes: number): void {
  garbage += bytes;
  if (garbage < COLLECT_AFTER) return;
  garbage = 0;
  setTimeout(collector(), 0);
}

/**
 * As {@link collectAfter}, before it resolves: for a single picture so large that two of its memories are not to exist
 * together.
 */
export async function collectNow(bytes: number): Promise<void> {
  if (bytes < COLLECT_NOW) return;
  // In a turn of its own: what this one has looked at stays until its end.
  await new Promise((resolve) => setTimeout(resolve, 0));
  collector()();
}

function collector(): () => void {
  // Of a flag that was given at run time only a new context knows.
  return collect ??= runInNewContext("globalThis.gc ?? (() => {})") as () => void;
}
