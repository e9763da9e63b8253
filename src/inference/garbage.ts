/** Garbage that is worth a collection, in bytes. */
const COLLECT_AFTER = 48_000_000;

let garbage = 0;

/**
 * Counts buffers of this thread that are of no more use, and has them collected, after the answer, once they are many. V8
 * lets them lie for long where the rest of the heap is small, the memories of codecs above all, which nothing else can
 * free. Where the runtime was not started with `--expose-gc`, that is how it stays.
 */
export function leaveGarbage(bytes: number): void {
  garbage += bytes;
  if (garbage < COLLECT_AFTER) return;
  garbage = 0;
  const { gc } = globalThis as { gc?: () => void };
  if (gc !== undefined) setTimeout(gc, 0);
}
