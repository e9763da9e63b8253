import type { InferenceSession, Tensor } from "onnxruntime-web";
import type { Mask } from "../../base/pixels.ts";
import { release } from "../../base/release.ts";
import type { Plan } from "./plan.ts";
import type { Operations, Output } from "../workers/rpc.ts";
import type { Manifest } from "./manifest.ts";
import { postprocess } from "./postprocess.ts";

/** A build of ONNX Runtime, as it is used within a worker. `Setup` is its configuration. */
export interface OnnxRuntime<Setup> {
  /** Called once, before any model is loaded. */
  start(setup: Setup): void | Promise<void>;
  /** @param model may be released: the caller does not use it afterwards. */
  createSession(model: Uint8Array<ArrayBuffer>): Promise<InferenceSession>;
  readonly Tensor: typeof Tensor;
}

export interface StartInput<Setup> {
  readonly setup: Setup;
  /** The first model to load. It saves a message while the main thread is busy with its own start. */
  readonly first: LoadInput;
}

export interface LoadInput {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly manifest: Manifest;
  /** For the compiled backend. */
  readonly plan?: Plan;
}

export interface LoadOutput {
  /** What in the manifest does not match the model, if anything. The worker itself has not failed then. */
  readonly mismatch?: string;
}

export interface InferInput {
  /** The name of a model that has been loaded. */
  readonly model: string;
  /** From `preprocess`: 1×3×height×width. */
  readonly tensor: Float32Array<ArrayBuffer>;
}

export interface Inferred {
  readonly mask: Mask;
  readonly inferMs: number;
}

/** The operations of a worker that runs models. All models share its memory, and one runs at a time. */
export function sessionOperationsOf<Setup>(runtime: OnnxRuntime<Setup>) {
  const loaded = new Map<string, { session: InferenceSession; manifest: Manifest }>();

  async function load({ model, manifest }: LoadInput): Promise<Output<LoadOutput>> {
    const session = await runtime.createSession(model);
    loaded.set(manifest.name, { session, manifest });
    return { value: { mismatch: findMismatch(session, manifest) } };
  }

  return {
    async start({ setup, first }: StartInput<Setup>): Promise<Output<LoadOutput>> {
      await runtime.start(setup);
      return await load(first);
    },

    load,

    async infer({ model, tensor }: InferInput): Promise<Output<Inferred>> {
      const entry = loaded.get(model);
      if (entry === undefined) throw new Error(`infer was called before ${model} was loaded`);
      const { session, manifest } = entry;
      const started = performance.now();
      const { input } = manifest;
      const [inputName, outputName] = tensorNames(session, manifest);
      const feeds = { [inputName]: new runtime.Tensor("float32", tensor, [1, 3, input.height, input.width]) };
      const outputs = await session.run(feeds, [outputName]);
      const data = postprocess(outputs[outputName].data as Float32Array, manifest);
      release(tensor);
      const mask = { data, width: input.width, height: input.height };
      return { value: { mask, inferMs: performance.now() - started }, transfer: [data.buffer] };
    },
  } satisfies Operations;
}

export type SessionOperations = ReturnType<typeof sessionOperationsOf<unknown>>;

/** The names in the manifest; by default the model's only input and its first output. */
function tensorNames(session: InferenceSession, { input, output }: Manifest): [input: string, output: string] {
  return [input.name ?? session.inputNames[0], output?.name ?? session.outputNames[0]];
}

function findMismatch(session: InferenceSession, manifest: Manifest): string | undefined {
  const { input } = manifest;
  const [inputName, outputName] = tensorNames(session, manifest);
  const metadata = session.inputMetadata.find((metadata) => metadata.name === inputName);
  if (metadata === undefined) {
    return `it names the input "${inputName}", but the model has ${JSON.stringify(session.inputNames)}`;
  }
  if (!metadata.isTensor || metadata.type !== "float32") {
    return `the input "${inputName}" is ${metadata.isTensor ? metadata.type : "not a tensor"}, but must be float32`;
  }
  const expected = [1, 3, input.height, input.width];
  // An axis whose size the model leaves open has a name in place of a size.
  const matches = metadata.shape.length === 4 &&
    metadata.shape.every((size, axis) => typeof size !== "number" || size < 0 || size === expected[axis]);
  if (!matches) {
    return `it gives the input shape ${expected.join("×")}, but the model takes ${metadata.shape.join("×")}`;
  }
  if (!session.outputNames.includes(outputName)) {
    return `it names the output "${outputName}", but the model has ${JSON.stringify(session.outputNames)}`;
  }
  return undefined;
}
