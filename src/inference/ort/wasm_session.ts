import * as ort from "onnxruntime-web";
import { operationsOf } from "../model/session.ts";
import { type ThreadPort, useThreads } from "./threads.ts";

export interface WasmStart {
  /** The WASM build of ONNX Runtime (`ort-wasm-simd-threaded.wasm`), compiled. */
  readonly module: WebAssembly.Module;
  /** A port to each thread besides the worker's own. */
  readonly threads: readonly ThreadPort[];
}

/** Models through ONNX Runtime's WASM backend. */
export const sessionOperations = operationsOf<WasmStart>({
  start(input) {
    useModule(input.module);
    ort.env.wasm.numThreads = 1 + input.threads.length;
    ort.env.logLevel = "error";
    if (input.threads.length === 0) return;
    reserveMemory();
    useThreads(input.threads);
  },

  async load(model) {
    const session = await ort.InferenceSession.create(model, {
      executionProviders: ["wasm"],
      // Threads that wait for each other sleep instead of spinning: on a machine with more to do than cores, spinning
      // threads take the time from the one that they wait for.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    // It has been loaded; ONNX Runtime would keep it for ever.
    model.buffer.transfer(0);
    return session;
  },

  Tensor: ort.Tensor,
});

/** Makes ONNX Runtime use a module that is compiled already; it only takes the bytes of one. */
function useModule(module: WebAssembly.Module): void {
  const placeholder = new ArrayBuffer(0);
  ort.env.wasm.wasmBinary = placeholder;
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = (async (source: BufferSource, imports?: WebAssembly.Imports) => {
    if (source.byteLength > 0) return await instantiate(source, imports);
    WebAssembly.instantiate = instantiate;
    return { module, instance: await instantiate(module, imports) };
  }) as typeof instantiate;
}

/** Pages of 64 KiB that every shared WASM memory begins with (1 GiB); those that nothing touches cost nothing. */
const MEMORY_PAGES = 16_384;

/**
 * Gives ONNX Runtime its memory all at once. Deno runs WASM without V8's trap handler (denoland/deno issue 35658): each
 * thread checks addresses against its own note of the memory's size. A thread that is handed an address in pages which
 * another has just added can die of "memory access out of bounds", and the others then wait for it for ever.
 */
function reserveMemory(): void {
  WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
    construct(Memory, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      const { shared, initial, maximum = MEMORY_PAGES } = descriptor;
      const reserved = Math.max(initial, Math.min(MEMORY_PAGES, maximum));
      return new Memory(shared ? { ...descriptor, initial: reserved } : descriptor);
    },
  });
}
