/** What the time of an image goes into, in the order of its way. */
export type Stage = "hash" | "cache" | "decode" | "infer" | "render" | "encode";

/** Milliseconds spent in each stage, in the order in which they ran. */
export type Timings = Partial<Record<Stage, number>>;

/** Is told what happens, by those who do it, while it happens. Nothing here may throw or take long. */
export interface Observer {
  /** A stage has ended; `from` and `to` are of the clock of `performance.now()`. */
  stage(stage: Stage, from: number, to: number): void;
  /**
   * An image has been answered.
   * @param source the tier that had the file; `mask`, `inference`, or `collapsed` where it was made for another request.
   */
  answered(source: string, elapsedMs: number): void;
  requestBegan(): void;
  requestEnded(request: EndedRequest): void;
}

export interface EndedRequest {
  /** The pattern of its path, such as `/cutouts/:image`; `none` where nothing is there. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly elapsedMs: number;
}

/** Runs a stage, and notes and tells how long it took. */
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
