/** The stages of making a cutout, in order. */
export type Stage = "hash" | "cache" | "decode" | "infer" | "render" | "encode";

/** The milliseconds spent in each stage, in the order in which the stages ran. */
export type Timings = Partial<Record<Stage, number>>;

/** Receives events from the code that does the work. The methods must not throw or take long. */
export interface Observer {
  /** A stage has ended. `from` and `to` are times of `performance.now()`. */
  stage(stage: Stage, from: number, to: number): void;
  /**
   * A request has its cutout.
   * @param source the tier that had the file; `mask`; `inference`; or `coalesced` if it was made for another request.
   */
  answered(source: string, elapsedMs: number): void;
  requestBegan(): void;
  requestEnded(request: EndedRequest): void;
}

export interface EndedRequest {
  /** The pattern of the path, such as `/cutouts/:image`; `none` if no route matches. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly elapsedMs: number;
}

/** Runs a stage, adds its duration to `timings` and reports it to `observer`, even if it fails. */
export async function timed<T>(
  timings: Timings,
  stage: Stage,
  work: () => Promise<T>,
  observer: Pick<Observer, "stage"> | undefined,
): Promise<T> {
  const from = performance.now();
  try {
    return await work();
  } finally {
    const to = performance.now();
    timings[stage] = to - from;
    observer?.stage(stage, from, to);
  }
}
