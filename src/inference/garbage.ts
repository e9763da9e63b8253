import { runInNewContext } from "node:vm";

/** Garbage that is worth a collection, in bytes: what a picture of 1.5 megapixels leaves. */
const COLLECT_AFTER = 24_000_000;

let garbage = 0;
let collect: (() => void) | undefined;

/**
 * Counts buffers of this thread that are of no more use, and has them collected, after the answer, once they are many. V8
 * lets them lie for long where the rest of the heap is small, the memories of codecs above all, which nothing else can
 * free. Where nobody has given V8 the flag `--expose-gc`, that is how it stays.
 */
export function leaveGarbage(bytes: number): void {
  garbage += bytes;
  if (garbage < COLLECT_AFTER) return;
  garbage = 0;
  // Of a flag that was given at run time only a new context knows.
  collect ??= runInNewContext("globalThis.gc ?? (() => {})") as () => void;
  setTimeout(collect, 0);
}
