/** Runs work once for all who ask for the same key while it is under way. */
export class Coalescer<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /** The work under way for `key`, if any. */
  inFlight(key: string): Promise<T> | undefined {
    return this.#flights.get(key);
  }

  /** Joins the work under way for `key`, or starts it. A failure is shared too, and forgotten once it has settled. */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const joined = this.#flights.get(key);
    if (joined !== undefined) return joined;
    const flight = work().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
