import { runInNewContext } from "node:vm";

/** Collect once there is this much garbage, in bytes: the codec of an image of 3 megapixels leaves that much. */
const COLLECT_AFTER_BYTES = 24_000_000;

/** An image whose memory is collected before it is copied, in bytes: 10 megapixels. */
const COLLECT_NOW_BYTES = 40_000_000;

let garbageBytes = 0;
let collect: (() => void) | undefined;

/** Frees the memory of a buffer at once. Its contents are gone, for all views of it. */
export function release({ buffer }: ArrayBufferView<ArrayBuffer>): void {
  if (!buffer.detached) buffer.transfer(0);
}

/**
 * Counts garbage that {@link release} cannot free, such as the memories of codecs, and collects it after the response once
 * there is enough: V8 would leave it for long, because the rest of the heap is small. A collection takes some 40 ms, so
 * not every small image can have one. Does nothing if V8 runs without the flag `--expose-gc`.
 */
export function collectAfter(bytes: number): void {
  garbageBytes += bytes;
  if (garbageBytes < COLLECT_AFTER_BYTES) return;
  garbageBytes = 0;
  setTimeout(collector(), 0);
}

/** Collects garbage at once, for an image so large that its decoder's memory and a copy should not exist together. */
export async function collectNow(bytes: number): Promise<void> {
  if (bytes < COLLECT_NOW_BYTES) return;
  // In a turn of its own: V8 keeps objects that this turn has used until its end.
  await new Promise((resolve) => setTimeout(resolve, 0));
  collector()();
}

function collector(): () => void {
  // If the flag was set at run time, only new contexts have `gc`.
  return collect ??= runInNewContext("globalThis.gc ?? (() => {})") as () => void;
}
