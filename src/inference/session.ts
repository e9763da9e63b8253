import * as ort from "onnxruntime-web";
import type { Manifest } from "./manifest.ts";
import type { Operations, Output } from "./rpc.ts";
import { type Mask, postprocess } from "./steps.ts";

export interface SessionInput {
  /** The WASM build of ONNX Runtime (`ort-wasm-simd-threaded.wasm`). */
  readonly wasmBinary: Uint8Array<ArrayBuffer>;
  readonly model: Uint8Array<ArrayBuffer>;
  readonly manifest: Manifest;
  readonly threads: number;
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
    ort.env.wasm.numThreads = input.threads;
    ort.env.logLevel = "error";
    session = await ort.InferenceSession.create(input.model, { executionProviders: ["wasm"] });
    checkFit(session, manifest);
    return { value: undefined };
  },

  async infer({ tensor }: InferInput): Promise<Output<Inferred>> {
    if (session === undefined) throw new Error("infer was called before start");
    const started = performance.now();
    const { input, output } = manifest;
    const feeds = { [input.name]: new ort.Tensor("float32", tensor, [1, 3, input.height, input.width]) };
    const outputs = await session.run(feeds, [output.name]);
    const data = postprocess(outputs[output.name].data as Float32Array, manifest);
    const mask = { data, width: input.width, height: input.height };
    return { value: { mask, inferMs: performance.now() - started }, transfer: [data.buffer] };
  },
} satisfies Operations;

export type SessionOperations = typeof sessionOperations;

function checkFit(session: ort.InferenceSession, { name, input, output }: Manifest): void {
  const wrong = (what: string) => new Error(`the manifest of ${name} does not fit its model: ${what}`);
  const metadata = session.inputMetadata.find((metadata) => metadata.name === input.name);
  if (metadata === undefined) {
    throw wrong(`it names the input "${input.name}", the model has ${JSON.stringify(session.inputNames)}`);
  }
  if (!metadata.isTensor || metadata.type !== "float32") {
    throw wrong(`the input "${input.name}" is ${metadata.isTensor ? metadata.type : "no tensor"}, not float32`);
  }
  const expected = [1, 3, input.height, input.width];
  // An axis that the model leaves open has a name instead of a size.
  const fits = metadata.shape.length === 4 &&
    metadata.shape.every((size, axis) => typeof size !== "number" || size === expected[axis]);
  if (!fits) throw wrong(`it gives the input shape ${expected.join("×")}, the model takes ${metadata.shape.join("×")}`);
  if (!session.outputNames.includes(output.name)) {
    throw wrong(`it names the output "${output.name}", the model has ${JSON.stringify(session.outputNames)}`);
  }
}
