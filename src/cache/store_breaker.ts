import {
  circuitBreaker,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  CountBreaker,
  handleAll,
  type IBreaker,
} from "cockatiel";

/** Failures in a row that open a breaker. */
const CONSECUTIVE_FAILURES = 3;

/** A breaker also opens if this part of the last calls failed, once there are enough of them. */
const FAILURE_RATIO = { threshold: 0.5, size: 40, minimumNumberOfCalls: 20 };

/** How long after a failure the first probe is sent, in milliseconds. The time doubles up to `breakMs`. */
const FIRST_PROBE_MS = 100;

export interface StoreBreakerOptions {
  /** The longest time between two probes, in milliseconds. */
  breakMs: number;
  /** Rejects while the store does not work. */
  probe: () => Promise<unknown>;
  onReset: () => void;
}

/**
 * Decides from the outcome of each call whether a store is used. It opens after several failures in a row, or if many of
 * the last calls failed, and closes when a probe succeeds.
 *
 * Calls that overlap in time fail together, for example when the store pauses for a moment: they count as one failure. A
 * call that gets no answer in time while the store answers others is slow, not a failure.
 */
export class StoreBreaker {
  readonly #options: StoreBreakerOptions;
  readonly #policy: CircuitBreakerPolicy;
  #probe?: ReturnType<typeof setTimeout>;
  #probeMs = FIRST_PROBE_MS;
  #lastAnswer = -Infinity;
  #lastFailure = -Infinity;
  #closed = false;

  constructor(options: StoreBreakerOptions) {
    this.#options = options;
    const breaker = new EitherBreaker([new ConsecutiveBreaker(CONSECUTIVE_FAILURES), new CountBreaker(FAILURE_RATIO)]);
    // The probes below have their own times: cockatiel must let each of them pass.
    this.#policy = circuitBreaker(handleAll, { halfOpenAfter: 0, breaker });
    this.#policy.onBreak(() => this.#probeLater());
    this.#policy.onReset(() => {
      this.#probeMs = FIRST_PROBE_MS;
      clearTimeout(this.#probe);
      options.onReset();
    });
  }

  /** Whether the store is used. */
  get isClosed(): boolean {
    return this.#policy.state === CircuitState.Closed;
  }

  get state(): "closed" | "open" | "half-open" {
    if (this.isClosed) return "closed";
    return this.#policy.state === CircuitState.HalfOpen ? "half-open" : "open";
  }

  /** Notes an answer of the store, which may have come too late for its caller. */
  answered(): void {
    this.#lastAnswer = performance.now();
    if (this.isClosed) this.#record(() => Promise.resolve());
  }

  /** Whether the store has answered anything in these last milliseconds. */
  answeredWithin(milliseconds: number): boolean {
    return performance.now() - this.#lastAnswer <= milliseconds;
  }

  /** Notes that a call which began at this time failed, or has had no answer in time. */
  failed(began: number, error: unknown): void {
    // A failure that overlaps with it has been counted.
    if (began < this.#lastFailure) return;
    this.#lastFailure = performance.now();
    if (this.isClosed) this.#record(() => Promise.reject(error));
  }

  /** Notes that a call has had no answer in time. */
  late(began: number, error: unknown): void {
    if (began > this.#lastAnswer) this.failed(began, error);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#probe);
  }

  #record(outcome: () => Promise<unknown>): void {
    this.#policy.execute(outcome).catch(() => {});
  }

  #probeLater(): void {
    if (this.#closed) return;
    const waitMs = Math.min(this.#probeMs, this.#options.breakMs);
    this.#probeMs *= 2;
    clearTimeout(this.#probe);
    // If the probe fails, the breaker is open again, and `onBreak` schedules the next one.
    this.#probe = setTimeout(() => this.#record(this.#options.probe), waitMs);
    // A store that is down must not keep the process alive.
    Deno.unrefTimer(Number(this.#probe));
  }
}

/** Opens when one of several breakers opens. */
class EitherBreaker implements IBreaker {
  readonly #breakers: readonly IBreaker[];

  constructor(breakers: readonly IBreaker[]) {
    this.#breakers = breakers;
  }

  get state(): unknown {
    return this.#breakers.map(({ state }) => state);
  }

  set state(states: unknown) {
    this.#breakers.forEach((breaker, i) => breaker.state = (states as unknown[])[i]);
  }

  success(state: CircuitState): void {
    for (const breaker of this.#breakers) breaker.success(state);
  }

  failure(state: CircuitState): boolean {
    return this.#breakers.map((breaker) => breaker.failure(state)).includes(true);
  }
}
