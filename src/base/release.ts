import { runInNewContext } from "node:vm";

/** Collect once there is this much garbage, in bytes: the codec of an image of 3 megapixels leaves that much. */
const COLLECT_AFTER_BYTES = 24_000_000;

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
  // If the flag was set at run time, only new contexts have `gc`.
  collect ??= runInNewContext("globalThis.gc ?? (() => {})") as () => void;
  setTimeout(collect, 0);
}
