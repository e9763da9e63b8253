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
    const result = await run(...args);
    // The codec keeps its last instance. A new one is small, so the memory of a large image can be collected.
    if (Math.max(bytesOf(args[0]), bytesOf(result)) >= LARGE_BYTES) await init(module);
    return result;
  };
}

/** The pixels of 10 megapixels. */
const LARGE_BYTES = 40_000_000;

/** The length of an image's pixels; 0 for a file. */
function bytesOf(value: unknown): number {
  return (value as { data?: ArrayBufferView }).data?.byteLength ?? 0;
}
