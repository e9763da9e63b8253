let compiling: Promise<WebAssembly.Module> | undefined;

/** ONNX Runtime's WASM build, compiled once for all workers, in V8's own threads. */
export function ortModule(): Promise<WebAssembly.Module> {
  compiling ??= import("onnxruntime-web/ort-wasm-simd-threaded.wasm", { with: { type: "bytes" } })
    .then(({ default: binary }) => WebAssembly.compile(binary));
  // Callers see the failure; a call that only starts the compilation early does not wait for it.
  compiling.catch(() => {});
  return compiling;
}
