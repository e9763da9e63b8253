interface Flight<T> {
  readonly work: Promise<T>;
  readonly abandon: AbortController;
  /** How many callers still wait for it. */
  waiting: number;
}

export interface Joined<T> {
  readonly value: T;
  /** Whether the work was done for this caller; false if it joined another caller's. */
  readonly leads: boolean;
}

export interface SingleFlightOptions {
  /** Whether a failure concerns the leader alone. The next caller in line then leads; by default all callers fail. */
  concernsLeaderOnly?: (error: unknown) => boolean;
}

/**
 * Runs work once for all callers that ask for the same key while it runs. When the last caller leaves, the work's signal
 * is aborted and no later caller joins it.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #concernsLeaderOnly: (error: unknown) => boolean;

  constructor({ concernsLeaderOnly = () => false }: SingleFlightOptions = {}) {
    this.#concernsLeaderOnly = concernsLeaderOnly;
  }

  /** Whether work for `key` is running. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Joins the work running for `key`, or starts it. All callers share a failure, and the next caller starts again.
   * @param signal makes this caller leave: the returned promise rejects with the signal's reason.
   */
  async join(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<Joined<T>> {
    signal?.throwIfAborted();
    const running = this.#flights.get(key);
    const leads = running === undefined;
    try {
      return { value: await this.#wait(key, running ?? this.#start(key, work), signal), leads };
    } catch (error) {
      if (leads || signal?.aborted || !this.#concernsLeaderOnly(error)) throw error;
      return await this.join(key, work, signal);
    }
  }

  async #wait(key: string, flight: Flight<T>, signal: AbortSignal | undefined): Promise<T> {
    flight.waiting++;
    const { promise: gone, reject } = Promise.withResolvers<never>();
    const leave = () => {
      reject(signal!.reason);
      if (--flight.waiting > 0) return;
      this.#forget(key, flight);
      flight.abandon.abort(signal!.reason);
    };
    signal?.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([flight.work, gone]);
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const abandon = new AbortController();
    const flight: Flight<T> = { work: work(abandon.signal), abandon, waiting: 0 };
    this.#flights.set(key, flight);
    const forget = () => this.#forget(key, flight);
    flight.work.then(forget, forget);
    return flight;
  }

  #forget(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}
