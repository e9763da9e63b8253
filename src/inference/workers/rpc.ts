import { ImageError, type ImageErrorCode } from "../../base/errors.ts";

/*
 * Calls into a worker: one message in, one message out, paired by `id`. Buffers listed in `transfer` are moved, not
 * copied.
 */

/** The outcome of an operation: its value, and the buffers in it to move to the caller. */
export interface Output<T> {
  readonly value: T;
  readonly transfer?: Transferable[];
}

/** The operations of one kind of worker, by name. */
// deno-lint-ignore no-explicit-any -- each operation has its own input
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

/** The first message of a worker. */
export interface Hello {
  /** Whether the worker has no permissions at all. */
  readonly sandboxed: boolean;
}

/** The members of a dedicated worker's global scope that are used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Call>) => void) | null;
  postMessage(message: Reply | Hello, transfer?: Transferable[]): void;
}

/** Answers calls in a worker. Messages that arrive before `load` has brought the operations wait for it. */
export function serveOperations(load: () => Promise<Operations>): void {
  const scope = globalThis as unknown as WorkerScope;
  const loading = load();
  // The first call reports it. Unhandled, it would end the process.
  loading.catch(() => {});
  scope.onmessage = async ({ data }) => {
    const { reply, transfer } = await answer(loading, data);
    scope.postMessage(reply, transfer ?? []);
  };
  scope.postMessage({ sandboxed: isSandboxed() });
}

/**
 * Runs the operation that is called. An {@link ImageError} blames the image and is passed on as such; any other error is
 * reported as a failure of the worker.
 */
export async function answer(
  operations: Promise<Operations>,
  { id, op, input }: Call,
): Promise<{ reply: Reply; transfer?: Transferable[] }> {
  try {
    const { value, transfer } = await (await operations)[op](input);
    return { reply: { id, value }, transfer };
  } catch (error) {
    if (error instanceof ImageError) {
      return { reply: { id, imageError: { code: error.code, message: error.message } } };
    }
    return { reply: { id, failure: error instanceof Error ? error.stack ?? error.message : String(error) } };
  }
}

function isSandboxed(): boolean {
  const names = ["env", "ffi", "net", "read", "run", "sys", "write"] as const;
  return names.every((name) => Deno.permissions.querySync({ name }).state !== "granted");
}
