import { ImageError, type ImageErrorCode } from "../../base/errors.ts";

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

/** The first that a worker says. */
export interface Hello {
  /** Whether it has no permission at all. */
  readonly sandboxed: boolean;
}

/** The few members of a dedicated worker's global scope that are used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Call>) => void) | null;
  postMessage(message: Reply | Hello, transfer?: Transferable[]): void;
}

/** Answers calls in a worker. `load` brings the operations; messages that arrive meanwhile wait for it. */
export function serveOperations(load: () => Promise<Operations>): void {
  const scope = globalThis as unknown as WorkerScope;
  const loading = load();
  // Reported with the first call; unhandled, it would end the process.
  loading.catch(() => {});
  scope.onmessage = async ({ data }) => {
    const { reply, transfer } = await answer(loading, data);
    scope.postMessage(reply, transfer ?? []);
  };
  scope.postMessage({ sandboxed: isSandboxed() });
}

/**
 * Runs the operation that is called. An {@link ImageError} is the image's fault and travels as such; anything else is
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
