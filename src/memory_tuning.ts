import os from "node:os";
import process from "node:process";
import { setFlagsFromString } from "node:v8";

/*
 * Keeps V8 and malloc from holding on to free memory. The same settings reach the server in three ways: from
 * `tools/start.ts`, from the Dockerfile's environment (a test compares it), and from `tuneMemory` if neither started it.
 */

/**
 * V8 releases compiled code that a better compilation has replaced, and keeps its young and old heaps small. It also does
 * not optimise code that only runs at the start. With the default budget of 13,000,000 (about the bytes of a function that
 * have run) it optimises over a hundred functions of ONNX Runtime while a model is loaded and first run, for a second of
 * processor time in all. The dozen that inference consists of take a tenth of that.
 */
export const V8_FLAGS = [
  "--expose-gc",
  "--flush-liftoff-code",
  "--max-semi-space-size=4",
  "--heap-growing-percent=25",
  "--wasm-tiering-budget=200000000",
] as const;

/**
 * Options of glibc's mallopt(3), by their names in the environment and their numbers in `malloc.h`: two arenas for all
 * threads instead of eight a core; blocks of 4 MiB and more are returned to the system when they are freed (set, because
 * glibc raises this threshold to 32 MiB by itself); so is the end of the heap, once 8 MiB of it are free.
 */
export const MALLOC_OPTIONS = [
  { name: "MALLOC_ARENA_MAX", option: -8, value: 2 },
  { name: "MALLOC_MMAP_THRESHOLD_", option: -3, value: 4_194_304 },
  { name: "MALLOC_TRIM_THRESHOLD_", option: -1, value: 8_388_608 },
] as const;

const TRIM_EVERY_MS = 1000;

export interface MemoryTuning {
  /** Makes malloc return free memory to the system once a second while images are being processed. */
  trimWhile(isBusy: () => boolean): void;
}

/**
 * Applies the settings to this process, for platforms that start `src/main.ts` without them, and give it 512 MB. Call it
 * before workers start: their heaps take their sizes from the flags. V8 accepts flags at any time. malloc is reached
 * through FFI, so its settings change only on Linux with glibc, and only if `--allow-ffi` is given.
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
        // Once more after the last image. A trim takes some milliseconds, in a thread of its own.
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

/** The memory of a server that has run its model and has no image, in bytes. */
const IDLE_BYTES = 350_000_000;

/**
 * The memory that one image may take, in bytes: the rest of the limit of this process's control group or machine.
 * Undefined without the permission to ask.
 */
export function memoryForPicture(): number | undefined {
  const permission = { name: "sys", kind: "systemMemoryInfo" } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") return undefined;
  // Older Deno, such as 2.5.0, does not know the limit of a container.
  return Math.min(process.constrainedMemory?.() ?? Infinity, os.totalmem()) - IDLE_BYTES;
}
