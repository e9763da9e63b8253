let compiling: Promise<WebAssembly.Module> | undefined;

/** The WASM build of ONNX Runtime, compiled once for all workers, in threads of V8's. */
export function ortModule(): Promise<WebAssembly.Module> {
  compiling ??= import("onnxruntime-web/ort-wasm-simd-threaded.wasm", { with: { type: "bytes" } })
    .then(({ default: binary }) => WebAssembly.compile(binary));
  // Whoever needs it is told.
  compiling.catch(() => {});
  return compiling;
}
