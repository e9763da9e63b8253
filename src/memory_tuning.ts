import os from "node:os";
import process from "node:process";
import { setFlagsFromString } from "node:v8";

/**
 * V8 does not hold on to what is free: of the code that it has compiled twice, and of a young and of an old heap. Nor does
 * it compile twice what runs at the start only. With its own budget of 13,000,000 (bytes of a function that run, about) it
 * optimises over a hundred functions of ONNX Runtime while a model is loaded and first run, for a second of processor time
 * in all; the dozen that inference consists of take a tenth of that.
 */
export const V8_FLAGS = [
  "--expose-gc",
  "--flush-liftoff-code",
  "--max-semi-space-size=4",
  "--heap-growing-percent=25",
  "--wasm-tiering-budget=200000000",
] as const;

/** Options of glibc's mallopt(3), by the numbers that `malloc.h` gives them, and as the environment names them. */
export const MALLOC_OPTIONS = [
  { name: "MALLOC_ARENA_MAX", option: -8, value: 2 },
  { name: "MALLOC_MMAP_THRESHOLD_", option: -3, value: 4_194_304 },
  { name: "MALLOC_TRIM_THRESHOLD_", option: -1, value: 8_388_608 },
] as const;

const TRIM_EVERY_MS = 1000;

export interface MemoryTuning {
  /** While images are being worked on, malloc gives free memory back to the system once a second. */
  trimWhile(isBusy: () => boolean): void;
}

/**
 * What the start task has V8 and malloc do about free memory, for platforms that start `src/main.ts` as it is, and give it
 * 512 MB. To be called before workers are started, whose heaps get their sizes from it. V8 takes its flags at any time;
 * malloc is asked through FFI, so nothing becomes of that but on Linux with glibc, and where everything is allowed.
 */
export function tuneMemory(): MemoryTuning {
  for (const flag of V8_FLAGS) setFlagsFromString(flag);
  const libc = openLibc();
  if (libc === undefined) return { trimWhile() {} };
  for (const { option, value } of MALLOC_OPTIONS) libc.symbols.mallopt(option, value);
  return {
    trimWhile(isBusy) {
      let wasBusy = true;
      const timer = setInterval(async () => {
        const busy = isBusy();
        // Once more after the last image. It takes some milliseconds, in a thread of its own.
        if (busy || wasBusy) await libc.symbols.malloc_trim(0n);
        wasBusy = busy;
      }, TRIM_EVERY_MS);
      Deno.unrefTimer(timer);
    },
  };
}

function openLibc() {
  if (Deno.build.os !== "linux" || Deno.permissions.querySync({ name: "ffi" }).state !== "granted") return undefined;
  try {
    return Deno.dlopen("libc.so.6", {
      mallopt: { parameters: ["i32", "i32"], result: "i32" },
      malloc_trim: { parameters: ["usize"], result: "i32", nonblocking: true },
    });
  } catch {
    return undefined; // another C library
  }
}

/** What a server takes without a picture, in bytes, once its model has run. */
const IDLE_BYTES = 350_000_000;

/**
 * What a picture may take, in bytes: the rest of what this process may use, by its control group or by the machine;
 * undefined if it may not know.
 */
export function memoryForPicture(): number | undefined {
  const permission = { name: "sys", kind: "systemMemoryInfo" } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") return undefined;
  return Math.min(process.constrainedMemory(), os.totalmem()) - IDLE_BYTES;
}
