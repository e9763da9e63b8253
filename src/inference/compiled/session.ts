import { release } from "../../base/release.ts";
import { postprocess } from "../model/postprocess.ts";
import type { InferInput, Inferred, LoadInput, LoadOutput, StartInput } from "../model/session.ts";
import type { Operations, Output } from "../workers/rpc.ts";
import type { Manifest } from "../model/manifest.ts";
import { Network, type Wake } from "./network.ts";
import type { Plan } from "../model/plan.ts";
import type { ThreadMessage, ThreadReady } from "./thread.ts";

export interface CompiledSetup {
  /** The kernels, compiled. */
  readonly module: WebAssembly.Module;
  /** A port to each thread besides the worker's own. */
  readonly threads: readonly MessagePort[];
}

/** Runs models of which there is a plan. All of them share the worker and its threads: one runs at a time. */
class CompiledSession {
  readonly #module: WebAssembly.Module;
  readonly #threads: readonly MessagePort[];
  readonly #loaded = new Map<string, { network: Network; manifest: Manifest }>();

  constructor({ module, threads }: CompiledSetup) {
    this.#module = module;
    this.#threads = threads;
  }

  /** @returns what in the manifest does not match the plan, if anything. */
  async load({ model, manifest, plan }: LoadInput): Promise<string | undefined> {
    if (plan === undefined) throw new Error(`${manifest.name} has no plan`);
    const mismatch = findMismatch(plan, manifest);
    if (mismatch !== undefined) return mismatch;
    const { name } = manifest;
    const network = new Network(this.#module, plan, model, 1 + this.#threads.length);
    await Promise.all(this.#threads.map((port, i) => seatThread(port, name, network, i + 1)));
    network.prepare(this.#wake(name));
    this.#loaded.set(name, { network, manifest });
    // It has been read; the memory is worth more than the bytes.
    model.buffer.transfer(0);
    return undefined;
  }

  infer({ model, tensor }: InferInput): Inferred {
    const found = this.#loaded.get(model);
    if (found === undefined) throw new Error(`infer was called before ${model} was loaded`);
    const started = performance.now();
    const { network, manifest } = found;
    const output = network.infer(tensor, this.#wake(model));
    release(tensor);
    const data = postprocess(output, manifest);
    const { width, height } = manifest.input;
    const absent = network.absentThread();
    // Outside of this call, whose mask is right: the worker and its threads are replaced before the next.
    if (absent !== undefined) queueFailure(`thread ${absent} no longer responds`);
    return { mask: { data, width, height }, inferMs: performance.now() - started };
  }

  #wake(network: string): Wake {
    return (run, program) => {
      for (const port of this.#threads) port.postMessage({ network, run, program } satisfies ThreadMessage);
    };
  }
}

function seatThread(port: MessagePort, name: string, network: Network, thread: number): Promise<void> {
  return new Promise((resolve) => {
    port.onmessage = ({ data }: MessageEvent<ThreadReady>) => data.ready === name && resolve();
    port.postMessage({ network: name, seat: { ...network.seat, thread } } satisfies ThreadMessage);
  });
}

function queueFailure(message: string): void {
  setTimeout(() => {
    throw new Error(message);
  }, 0);
}

function findMismatch(plan: Plan, { input, output }: Manifest): string | undefined {
  const [{ width, height }] = plan.tensors;
  if (input.name !== undefined && input.name !== plan.input) {
    return `it names the input "${input.name}", but the model has ["${plan.input}"]`;
  }
  if (input.width !== width || input.height !== height) {
    return `it gives the input shape 1×3×${input.height}×${input.width}, but the model takes 1×3×${height}×${width}`;
  }
  if (output !== undefined && output.name !== plan.output) {
    return `it names the output "${output.name}", but the model has ["${plan.output}"]`;
  }
  return undefined;
}

let session: CompiledSession;

/** What a worker does that runs compiled models. */
export const sessionOperations = {
  async start({ setup, first }: StartInput<CompiledSetup>): Promise<Output<LoadOutput>> {
    session = new CompiledSession(setup);
    return { value: { mismatch: await session.load(first) } };
  },

  async load(input: LoadInput): Promise<Output<LoadOutput>> {
    return { value: { mismatch: await session.load(input) } };
  },

  infer(input: InferInput): Promise<Output<Inferred>> {
    const value = session.infer(input);
    return Promise.resolve({ value, transfer: [value.mask.data.buffer] });
  },
} satisfies Operations;
