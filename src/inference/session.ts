import * as ort from "onnxruntime-web";
import { leaveGarbage } from "./garbage.ts";
import type { Manifest } from "./manifest.ts";
import type { Operations, Output } from "./rpc.ts";
import { type Mask, postprocess } from "./steps.ts";
import { type ThreadPort, useThreads } from "./threads.ts";

export interface SessionInput {
  /** The WASM build of ONNX Runtime (`ort-wasm-simd-threaded.wasm`). */
  readonly wasmBinary: Uint8Array<ArrayBuffer>;
  readonly model: Uint8Array<ArrayBuffer>;
  readonly manifest: Manifest;
  /** A port to each thread besides the worker's own. */
  readonly threads: readonly ThreadPort[];
}

export interface InferInput {
  /** As `preprocess` makes it: 1×3×height×width. */
  readonly tensor: Float32Array<ArrayBuffer>;
}

export interface Inferred {
  readonly mask: Mask;
  readonly inferMs: number;
}

let session: ort.InferenceSession | undefined;
let manifest: Manifest;

/** The model, through ONNX Runtime's WASM backend. A worker holds one session. */
export const sessionOperations = {
  /** @throws {Error} where the manifest does not fit the model. */
  async start(input: SessionInput): Promise<Output<undefined>> {
    manifest = input.manifest;
    ort.env.wasm.wasmBinary = input.wasmBinary;
    ort.env.wasm.numThreads = 1 + input.threads.length;
    ort.env.logLevel = "error";
    reserveMemory();
    useThreads(input.threads);
    session = await ort.InferenceSession.create(input.model, {
      executionProviders: ["wasm"],
      // Threads that wait for each other sleep instead of spinning: on a machine with more to do than cores, spinning
      // threads take the time from the one that they wait for.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    // They have been compiled and loaded; ONNX Runtime would keep them for ever.
    for (const { buffer } of [input.wasmBinary, input.model]) buffer.transfer(0);
    checkFit(session, manifest);
    return { value: undefined };
  },

  async infer({ tensor }: InferInput): Promise<Output<Inferred>> {
    if (session === undefined) throw new Error("infer was called before start");
    const started = performance.now();
    const { input } = manifest;
    const [inputName, outputName] = names(session, manifest);
    const feeds = { [inputName]: new ort.Tensor("float32", tensor, [1, 3, input.height, input.width]) };
    const outputs = await session.run(feeds, [outputName]);
    const data = postprocess(outputs[outputName].data as Float32Array, manifest);
    leaveGarbage(4 * tensor.byteLength);
    const mask = { data, width: input.width, height: input.height };
    return { value: { mask, inferMs: performance.now() - started }, transfer: [data.buffer] };
  },
} satisfies Operations;

export type SessionOperations = typeof sessionOperations;

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

/** The names of the tensors in use: the manifest's, else those of the model's only input and its first output. */
function names(session: ort.InferenceSession, { input, output }: Manifest): [input: string, output: string] {
  return [input.name ?? session.inputNames[0], output?.name ?? session.outputNames[0]];
}

function checkFit(session: ort.InferenceSession, manifest: Manifest): void {
  const { name, input } = manifest;
  const [inputName, outputName] = names(session, manifest);
  const wrong = (what: string) => new Error(`the manifest of ${name} does not fit its model: ${what}`);
  const metadata = session.inputMetadata.find((metadata) => metadata.name === inputName);
  if (metadata === undefined) {
    throw wrong(`it names the input "${inputName}", the model has ${JSON.stringify(session.inputNames)}`);
  }
  if (!metadata.isTensor || metadata.type !== "float32") {
    throw wrong(`the input "${inputName}" is ${metadata.isTensor ? metadata.type : "no tensor"}, not float32`);
  }
  const expected = [1, 3, input.height, input.width];
  // An axis that the model leaves open has a name instead of a size.
  const fits = metadata.shape.length === 4 &&
    metadata.shape.every((size, axis) => typeof size !== "number" || size === expected[axis]);
  if (!fits) throw wrong(`it gives the input shape ${expected.join("×")}, the model takes ${metadata.shape.join("×")}`);
  if (!session.outputNames.includes(outputName)) {
    throw wrong(`it names the output "${outputName}", the model has ${JSON.stringify(session.outputNames)}`);
  }
}
