interface Flight<T> {
  readonly work: Promise<T>;
  readonly abandon: AbortController;
  /** How many still wait for it. */
  waiting: number;
}

/**
 * Runs work once for all who ask for the same key while it is under way. Work that nobody waits for any more is told so
 * through its signal, and not joined again.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** Whether there is work under way for `key`. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Joins the work under way for `key`, or starts it. A failure is shared too, and forgotten once it has settled.
   * @param signal takes this caller out of those who wait; its promise then rejects with the signal's reason.
   */
  async run(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#start(key, work);
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
