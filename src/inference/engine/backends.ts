import type { CompiledSetup } from "../compiled/session.ts";
import type { Model } from "../model/manifest.ts";
import type { SessionOperations } from "../model/session.ts";
import type { NativeSetup } from "../ort/native_session.ts";
import { ortModule } from "../ort/ort_module.ts";
import type { WasmSetup } from "../ort/wasm_session.ts";
import type { NewWorker } from "../workers/worker_pool.ts";
import type { WorkerModule } from "../workers/worker_runtime.ts";

/** A way to run models: the worker that does it, and its setup from the main thread. */
export interface Backend {
  /** A module that serves {@link SessionOperations}. */
  readonly worker: WorkerModule;
  /**
   * Whether its threads are workers that the main thread starts. Then it has no threads on the main thread, and starts
   * again with one thread if more do not work.
   */
  readonly threadsAreWorkers: boolean;
  /** Why this process cannot load it; undefined if it can. */
  unavailableReason?(): string | undefined;
  /** Why it cannot run a model; undefined if it can. By default it can run every model. */
  unsupportedReason?(model: Model): string | undefined;
  /** Makes the `setup` of the worker's `start`. It may start companions of the worker. */
  createSetup(
    worker: NewWorker<SessionOperations>,
    threads: number,
  ): Promise<{ setup: unknown; transfer?: Transferable[] }>;
}

const WASM_THREAD: WorkerModule = { url: import.meta.resolve("../ort/thread_worker.ts") };
const COMPILED_THREAD: WorkerModule = { url: import.meta.resolve("../compiled/thread_worker.ts") };

/** Loading an add-on takes these. The worker gets tensors, never the bytes of an image. */
const NATIVE_PERMISSIONS = { ffi: true, read: true, env: true, sys: true };

/** All backends, the best first: `auto` uses the first that loads. */
export const backends = {
  native: {
    worker: {
      url: import.meta.resolve("../ort/native_session_worker.ts"),
      load: async () => (await import("../ort/native_session.ts")).sessionOperations,
      permissions: NATIVE_PERMISSIONS,
    },
    threadsAreWorkers: false,
    unavailableReason() {
      const names = Object.keys(NATIVE_PERMISSIONS) as (keyof typeof NATIVE_PERMISSIONS)[];
      const missing = names.filter((name) => Deno.permissions.querySync({ name }).state !== "granted");
      if (missing.length === 0) return undefined;
      return `it needs ${missing.map((name) => `--allow-${name}`).join(", ")}; start with \`deno task start:native\``;
    },
    createSetup: (_worker, threads) => Promise.resolve({ setup: { threads } satisfies NativeSetup }),
  },

  compiled: {
    worker: {
      url: import.meta.resolve("../compiled/session_worker.ts"),
      load: async () => (await import("../compiled/session.ts")).sessionOperations,
    },
    threadsAreWorkers: true,
    unsupportedReason({ manifest, plan }) {
      return plan ? undefined : `there is no plan for ${manifest.name}; \`deno task model:compile\` makes one`;
    },
    async createSetup(worker, count) {
      const { kernelModule } = await import("../compiled/kernel_module.ts");
      const threads = startThreads(worker, COMPILED_THREAD, count);
      return { setup: { module: await kernelModule(), threads } satisfies CompiledSetup, transfer: threads };
    },
  },

  wasm: {
    worker: {
      url: import.meta.resolve("../ort/wasm_session_worker.ts"),
      load: async () => (await import("../ort/wasm_session.ts")).sessionOperations,
    },
    threadsAreWorkers: true,
    async createSetup(worker, count) {
      const threads = startThreads(worker, WASM_THREAD, count);
      return { setup: { module: await ortModule(), threads } satisfies WasmSetup, transfer: threads };
    },
  },
} satisfies Record<string, Backend>;

export type BackendName = keyof typeof backends;

/** The threads beside the worker's own, which is the first, and the worker's port to each. */
function startThreads(worker: NewWorker<SessionOperations>, module: WorkerModule, count: number): MessagePort[] {
  return Array.from({ length: count - 1 }, () => {
    const { port1, port2 } = new MessageChannel();
    worker.spawn("thread", module).post(port1, [port1]);
    return port2;
  });
}
