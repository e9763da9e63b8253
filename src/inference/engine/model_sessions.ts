import type { Model } from "../model/manifest.ts";
import type { Inferred, SessionOperations } from "../model/session.ts";
import type { CallOptions } from "../workers/worker_pool.ts";
import type { BackendName } from "./backends.ts";
import { SessionPool, type SessionPoolOptions } from "./session_pool.ts";

/**
 * The sessions of all models. The selected backend runs those that it can. The WASM build of ONNX Runtime runs every other
 * model beside it, in workers that start when the first of these models is needed.
 */
export class ModelSessions {
  readonly #options: SessionPoolOptions;
  readonly #selected: SessionPool;
  #others?: SessionPool;

  /** @throws {Error} if this process cannot load the backend that it requires. */
  constructor(options: SessionPoolOptions) {
    this.#options = options;
    this.#selected = new SessionPool(options);
  }

  get backend(): BackendName {
    return this.#selected.backend;
  }

  get backendReason(): string {
    return this.#selected.backendReason;
  }

  get threads(): number {
    return this.#selected.threads;
  }

  /** The number of times that a model has run for an image. */
  get inferences(): number {
    return this.#sum((pool) => pool.inferences);
  }

  get restarts(): number {
    return this.#sum((pool) => pool.restarts);
  }

  get alive(): boolean {
    return this.#pools.every((pool) => pool.alive);
  }

  /** Whether every model of the start has run. */
  get warm(): boolean {
    return this.#startPools().every((pool) => pool.warm);
  }

  /** @throws {Error} as {@link SessionPool.ready}. */
  async ready(): Promise<void> {
    await this.#selected.ready();
    await Promise.all(this.#startPools().map((pool) => pool.ready()));
  }

  /** @throws {EngineError} */
  async warmUp(): Promise<void> {
    for (const pool of this.#startPools()) await pool.warmUp();
  }

  /** Runs a model, as {@link SessionPool.infer}. */
  infer(
    model: Model,
    tensor: Float32Array<ArrayBuffer>,
    options: Pick<CallOptions<SessionOperations>, "budget" | "signal" | "onStart">,
  ): Promise<Inferred> {
    const pool = this.#selected.runs(model) ? this.#selected : this.#otherSessions([model]);
    return pool.infer(model, tensor, options);
  }

  close(): void {
    for (const pool of this.#pools) pool.close();
  }

  get #pools(): SessionPool[] {
    return this.#others ? [this.#selected, this.#others] : [this.#selected];
  }

  /** The pools that have models of the start. */
  #startPools(): SessionPool[] {
    const others = this.#options.models.filter((model) => !this.#selected.runs(model));
    return others.length === 0 ? [this.#selected] : [this.#selected, this.#otherSessions(others)];
  }

  #otherSessions(models: readonly Model[]): SessionPool {
    this.#others ??= new SessionPool({ ...this.#options, backend: "wasm", models });
    return this.#others;
  }

  #sum(value: (pool: SessionPool) => number): number {
    return this.#pools.reduce((sum, pool) => sum + value(pool), 0);
  }
}
