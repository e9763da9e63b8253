/** The state of a pending image; `position` is its place in line, from 1. */
export type CutoutProgress =
  /** Without `position`, it waits for something other than its turn, such as another process's inference. */
  | { readonly state: "waiting"; readonly position?: number }
  | { readonly state: "inferring" | "rendering" };

/** An image that the engine has accepted but not finished. */
interface EngineJob {
  readonly maskKey: string;
  /** Jobs that need an inference and jobs that only render wait in separate lines. */
  readonly line: "infer" | "render";
  state: CutoutProgress["state"];
}

interface FollowedRequest {
  readonly maskKey: string;
  /** Whether the engine has finished its image. */
  rendered: boolean;
}

/** Nobody can guess such an id (RFC 9562, section 4), so every client that knows it may see the request's progress. */
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** Tracks the progress of each request, for clients that wait. */
export class ProgressTracker {
  readonly #requests = new Map<string, FollowedRequest>();
  /** In the order of acceptance, which is also the order within each line. */
  readonly #jobs = new Set<EngineJob>();

  /** Tracks a request whose id is a UUID until the returned object is disposed of. */
  follow(requestId: string | undefined, maskKey: string): Disposable | undefined {
    if (requestId === undefined || !UUID.test(requestId) || this.#requests.has(requestId)) return undefined;
    this.#requests.set(requestId, { maskKey, rendered: false });
    return { [Symbol.dispose]: () => this.#requests.delete(requestId) };
  }

  /** Tracks a job of the engine until the returned object is disposed of. */
  enqueue(maskKey: string, line: EngineJob["line"]): Disposable & { enter(state: "inferring" | "rendering"): void } {
    const job: EngineJob = { maskKey, line, state: "waiting" };
    this.#jobs.add(job);
    return {
      enter: (state) => job.state = state,
      [Symbol.dispose]: () => this.#jobs.delete(job),
    };
  }

  /** Records that the engine has rendered an image: its requests now only wait for the result to be stored. */
  rendered(maskKey: string): void {
    for (const request of this.#requests.values()) if (request.maskKey === maskKey) request.rendered = true;
  }

  /** The progress of the request with this id; undefined if there is none, or if the cache serves it. */
  of(requestId: string): CutoutProgress | undefined {
    const request = this.#requests.get(requestId);
    if (request === undefined) return undefined;
    const jobs = [...this.#jobs];
    const job = jobs.find(({ maskKey }) => maskKey === request.maskKey);
    if (job === undefined) return { state: request.rendered ? "rendering" : "waiting" };
    if (job.state !== "waiting") return { state: job.state };
    const line = jobs.filter(({ state, line }) => state === "waiting" && line === job.line);
    return { state: "waiting", position: 1 + line.indexOf(job) };
  }
}
