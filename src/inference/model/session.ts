import type { InferenceSession, Tensor } from "onnxruntime-web";
import { release } from "../../base/release.ts";
import type { Manifest } from "./manifest.ts";
import type { Operations, Output } from "../workers/rpc.ts";
import { postprocess } from "./postprocess.ts";
import { type Mask } from "../../base/pixels.ts";

/** A build of ONNX Runtime. `Start` is what it is given once, before any model. */
export interface Runtime<Start> {
  start(input: Start): void | Promise<void>;
  /** @param model is of no more use afterwards. */
  load(model: Uint8Array<ArrayBuffer>): Promise<InferenceSession>;
  readonly Tensor: typeof Tensor;
}

export interface StartInput<Start> {
  readonly runtime: Start;
  /** The first model to load: one message less, while the main thread is busy with its own start. */
  readonly first: LoadInput;
}

export interface LoadInput {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly manifest: Manifest;
}

export interface InferInput {
  /** The name of a model that has been loaded. */
  readonly model: string;
  /** As `preprocess` makes it: 1×3×height×width. */
  readonly tensor: Float32Array<ArrayBuffer>;
}

export interface Inferred {
  readonly mask: Mask;
  readonly inferMs: number;
}

/** What a worker does that runs models. All of them share its memory: one runs at a time. */
export function operationsOf<Start>(runtime: Runtime<Start>) {
  const loaded = new Map<string, { session: InferenceSession; manifest: Manifest }>();
  /** Tells what of the manifest does not fit the model, if anything: that is no failure of the worker. */
  async function load({ model, manifest }: LoadInput): Promise<Output<{ mismatch?: string }>> {
    const session = await runtime.load(model);
    loaded.set(manifest.name, { session, manifest });
    return { value: { mismatch: mismatch(session, manifest) } };
  }

  return {
    async start(input: StartInput<Start>): Promise<Output<{ mismatch?: string }>> {
      await runtime.start(input.runtime);
      return await load(input.first);
    },

    load,

    async infer({ model, tensor }: InferInput): Promise<Output<Inferred>> {
      const found = loaded.get(model);
      if (found === undefined) throw new Error(`infer was called before ${model} was loaded`);
      const { session, manifest } = found;
      const started = performance.now();
      const { input } = manifest;
      const [inputName, outputName] = names(session, manifest);
      const feeds = { [inputName]: new runtime.Tensor("float32", tensor, [1, 3, input.height, input.width]) };
      const outputs = await session.run(feeds, [outputName]);
      const data = postprocess(outputs[outputName].data as Float32Array, manifest);
      release(tensor);
      const mask = { data, width: input.width, height: input.height };
      return { value: { mask, inferMs: performance.now() - started }, transfer: [data.buffer] };
    },
  } satisfies Operations;
}

export type SessionOperations = ReturnType<typeof operationsOf<unknown>>;

/** The names of the tensors in use: the manifest's, else those of the model's only input and its first output. */
function names(session: InferenceSession, { input, output }: Manifest): [input: string, output: string] {
  return [input.name ?? session.inputNames[0], output?.name ?? session.outputNames[0]];
}

function mismatch(session: InferenceSession, manifest: Manifest): string | undefined {
  const { input } = manifest;
  const [inputName, outputName] = names(session, manifest);
  const metadata = session.inputMetadata.find((metadata) => metadata.name === inputName);
  if (metadata === undefined) {
    return `it names the input "${inputName}", the model has ${JSON.stringify(session.inputNames)}`;
  }
  if (!metadata.isTensor || metadata.type !== "float32") {
    return `the input "${inputName}" is ${metadata.isTensor ? metadata.type : "no tensor"}, not float32`;
  }
  const expected = [1, 3, input.height, input.width];
  // An axis that the model leaves open has a name instead of a size.
  const fits = metadata.shape.length === 4 &&
    metadata.shape.every((size, axis) => typeof size !== "number" || size < 0 || size === expected[axis]);
  if (!fits) return `it gives the input shape ${expected.join("×")}, the model takes ${metadata.shape.join("×")}`;
  if (!session.outputNames.includes(outputName)) {
    return `it names the output "${outputName}", the model has ${JSON.stringify(session.outputNames)}`;
  }
  return undefined;
}
