import { ImageError, type ImageErrorCode } from "./errors.ts";

/*
 * Calls into a worker: one message in, one message out, paired by `id`. Buffers named in `transfer` change hands without
 * being copied.
 */

/** What an operation answers with: the value, and which of its buffers are given away with it. */
export interface Output<T> {
  readonly value: T;
  readonly transfer?: Transferable[];
}

/** The operations of one kind of worker, by name. */
// deno-lint-ignore no-explicit-any -- each operation has an input of its own
export type Operations = Record<string, (input: any) => Promise<Output<unknown>>>;

export type Input<Ops extends Operations, Op extends keyof Ops> = Parameters<Ops[Op]>[0];
export type Value<Ops extends Operations, Op extends keyof Ops> = Awaited<ReturnType<Ops[Op]>>["value"];

export interface Call {
  readonly id: number;
  readonly op: string;
  readonly input: unknown;
}

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly imageError: { code: ImageErrorCode; message: string } }
  | { readonly id: number; readonly failure: string };

/** The few members of a dedicated worker's global scope that are used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Call>) => void) | null;
  postMessage(message: Reply, transfer?: Transferable[]): void;
}

/**
 * Answers calls in a worker. `load` brings the operations; messages that arrive meanwhile wait for it.
 * An {@link ImageError} is the image's fault and travels as such; anything else is reported as a failure of the worker.
 */
export function serveOperations(load: () => Promise<Operations>): void {
  const scope = globalThis as unknown as WorkerScope;
  const loading = load();
  // Reported with the first call; unhandled, it would end the process.
  loading.catch(() => {});
  scope.onmessage = async ({ data: { id, op, input } }) => {
    try {
      const { value, transfer } = await (await loading)[op](input);
      scope.postMessage({ id, value }, transfer ?? []);
    } catch (error) {
      if (error instanceof ImageError) {
        scope.postMessage({ id, imageError: { code: error.code, message: error.message } });
      } else {
        scope.postMessage({ id, failure: error instanceof Error ? error.stack ?? error.message : String(error) });
      }
    }
  };
}
