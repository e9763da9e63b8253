/** A codec of jSquash: its module is given to `init`, which makes an instance, and then `run` uses that. */
export interface WasmCodec<Args extends unknown[], Result> {
  readonly binary: Uint8Array<ArrayBuffer>;
  readonly init: (module: WebAssembly.Module) => Promise<unknown>;
  readonly run: (...args: Args) => Promise<Result>;
}

/**
 * Makes a function of a codec that is compiled when it is first used. Each call has an instance of its own: the memory of
 * one never shrinks, and a damaged file may leave it in any state.
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
