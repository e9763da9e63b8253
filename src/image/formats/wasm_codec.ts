/** A codec of jSquash. `init` makes an instance of its module, and `run` uses the last instance made. */
export interface WasmCodec<Args extends unknown[], Result> {
  readonly binary: Uint8Array<ArrayBuffer>;
  readonly init: (module: WebAssembly.Module) => Promise<unknown>;
  readonly run: (...args: Args) => Promise<Result>;
}

/**
 * Turns a codec into a function, which compiles it when first called. Each call has an instance of its own, because the
 * memory of an instance never shrinks and a damaged file may leave it in any state.
 */
export function wasmCodec<Args extends unknown[], Result>(
  { binary, init, run }: WasmCodec<Args, Result>,
): (...args: Args) => Promise<Result> {
  let module: WebAssembly.Module | undefined;
  return async (...args) => {
    module ??= await WebAssembly.compile(binary);
    await init(module);
    try {
      return await run(...args);
    } finally {
      // The codec holds on to its last instance: an unused one is small.
      await init(module);
    }
  };
}
