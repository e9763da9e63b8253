import { relaxedSimd } from "wasm-feature-detect";
import plain from "./kernels.wasm" with { type: "bytes" };
import relaxed from "./kernels_relaxed.wasm" with { type: "bytes" };

let compiling: Promise<WebAssembly.Module> | undefined;

/** The kernels for this machine, compiled once for all workers: with relaxed SIMD (fused multiply-add) if it has that. */
export function kernelModule(): Promise<WebAssembly.Module> {
  compiling ??= relaxedSimd().then((relaxedSimd) => WebAssembly.compile(relaxedSimd ? relaxed : plain));
  // Reported to whoever awaits it.
  compiling.catch(() => {});
  return compiling;
}
