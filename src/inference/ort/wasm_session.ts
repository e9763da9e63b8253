import * as ort from "onnxruntime-web";
import { sessionOperationsOf } from "../model/session.ts";
import { type ThreadPort, useThreads } from "./threads.ts";

export interface WasmSetup {
  /** The WASM build of ONNX Runtime (`ort-wasm-simd-threaded.wasm`), compiled. */
  readonly module: WebAssembly.Module;
  /** A port to each further thread; the worker's own is the first. */
  readonly threads: readonly ThreadPort[];
}

/** Models on ONNX Runtime's WASM build. */
export const sessionOperations = sessionOperationsOf<WasmSetup>({
  start({ module, threads }) {
    useModule(module);
    ort.env.wasm.numThreads = 1 + threads.length;
    ort.env.logLevel = "error";
    if (threads.length === 0) return;
    reserveMemory();
    useThreads(threads);
  },

  async createSession(model) {
    const session = await ort.InferenceSession.create(model, {
      executionProviders: ["wasm"],
      // Threads that wait for each other sleep instead of spinning. If there is more work than cores, a spinning thread
      // takes time from the thread that it waits for.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    // The session no longer needs the bytes, but ONNX Runtime would keep them forever.
    model.buffer.transfer(0);
    return session;
  },

  Tensor: ort.Tensor,
});

/** Makes ONNX Runtime use a compiled module; its own option only takes the bytes of one. */
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

/** The initial size of every shared WASM memory, in pages of 64 KiB: 1 GiB. Pages that nothing touches cost nothing. */
const MEMORY_PAGES = 16_384;

/**
 * Gives ONNX Runtime all of its memory at the start. Deno runs WASM without V8's trap handler (denoland/deno issue
 * 35658), so each thread checks addresses against its own copy of the memory's size. A thread that is given an address in
 * pages that another thread has just added can die of "memory access out of bounds", and the other threads then wait for
 * it forever.
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
