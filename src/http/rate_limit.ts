import type { Logger } from "@logtape/logtape";
import { Ratelimit } from "@upstash/ratelimit";
import { circuitBreaker, type CircuitBreakerPolicy, ConsecutiveBreaker, handleAll } from "cockatiel";
import { LRUCache } from "lru-cache";
import { messageOf } from "../base/errors.ts";
import { connectRedis, withoutCommand } from "../base/redis_client.ts";

/** So many requests in each window of this length. */
export interface Rate {
  readonly requests: number;
  readonly windowMs: number;
}

/** What a limit says to one request. */
export interface Verdict {
  readonly allowed: boolean;
  /** Requests that are left in this window. */
  readonly remaining: number;
  /** Until the window ends, in milliseconds. */
  readonly resetMs: number;
  /** Until a refused request may come again, in milliseconds. */
  readonly retryMs: number;
}

/** Clients that are counted at a time; of more, the one that has been quiet for longest is forgotten. */
const COUNTED_CLIENTS = 20_000;

interface Count {
  window: number;
  current: number;
  previous: number;
}

/**
 * A sliding window, as an estimate from two counters: of the window before, as much counts as the sliding one still
 * covers. It is what `@upstash/ratelimit` computes in Redis, so a limit means the same with and without Redis.
 */
export class SlidingWindow {
  readonly #rate: Rate;
  readonly #counts = new LRUCache<string, Count>({ max: COUNTED_CLIENTS });

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** What a request would be told, without counting it. */
  look(client: string, now = Date.now()): Verdict {
    const { requests, windowMs } = this.#rate;
    const { current, previous } = this.#countOf(client, now);
    const elapsed = now % windowMs;
    const left = requests - current - Math.floor(previous * (1 - elapsed / windowMs));
    // When enough of the window before has gone; at the latest, this window becomes the one before.
    const free = left > 0 ? elapsed : current < requests ? windowMs * (1 - (requests - current) / previous) : windowMs;
    return {
      allowed: left > 0,
      remaining: Math.max(0, left),
      resetMs: windowMs - elapsed,
      retryMs: Math.max(0, free - elapsed) + 1,
    };
  }

  /** Counts a request, if it is allowed. */
  take(client: string, now = Date.now()): Verdict {
    const verdict = this.look(client, now);
    if (!verdict.allowed) return verdict;
    this.count(client, now);
    return { ...verdict, remaining: verdict.remaining - 1 };
  }

  count(client: string, now = Date.now()): void {
    const count = this.#countOf(client, now);
    count.current++;
    this.#counts.set(client, count);
  }

  #countOf(client: string, now: number): Count {
    const window = Math.floor(now / this.#rate.windowMs);
    const known = this.#counts.get(client);
    if (known?.window === window) return known;
    return { window, current: 0, previous: known?.window === window - 1 ? known.current : 0 };
  }
}

/** Where several instances count together. */
export interface SharedLimitOptions {
  url: string;
  token: string;
  /** How long a request may wait for Redis, in milliseconds. */
  timeoutMs: number;
  /** After a failure Redis is left alone this long, in milliseconds. */
  breakMs: number;
  logger: Logger;
}

/**
 * Limits the requests of each client; all instances together where they share a Redis. Each instance counts on its own
 * as well: what it has let through alone is enough to refuse without asking Redis, and while Redis does not answer, its
 * own count is the limit.
 */
export class RateLimiter {
  readonly rate: Rate;
  readonly #own: SlidingWindow;
  readonly #shared?: { limit: Ratelimit; breaker: CircuitBreakerPolicy };

  constructor(rate: Rate, shared?: SharedLimitOptions) {
    this.rate = rate;
    this.#own = new SlidingWindow(rate);
    this.#shared = shared && connect(rate, shared);
  }

  /** Counts a request, if it is allowed. Never fails. */
  async take(client: string): Promise<Verdict> {
    if (this.#shared === undefined) return this.#own.take(client);
    const { limit, breaker } = this.#shared;
    const own = this.#own.look(client);
    if (!own.allowed) return own;
    try {
      const { success, remaining, reset } = await breaker.execute(() => limit.limit(client));
      const resetMs = Math.max(0, reset - Date.now());
      if (success) this.#own.count(client);
      return { allowed: success, remaining, resetMs, retryMs: resetMs + 1 };
    } catch {
      return this.#own.take(client); // The breaker has told.
    }
  }
}

function connect(rate: Rate, { url, token, timeoutMs, breakMs, logger }: SharedLimitOptions) {
  const redis = connectRedis({ url, token, timeoutMs });
  const limit = new Ratelimit({
    redis,
    limiter: Ratelimit.slidingWindow(rate.requests, `${rate.windowMs} ms`),
    prefix: "cutcache:rate",
    // It would let everything through; the signal above makes it an error.
    timeout: 0,
    // A map without bounds; our own count does its work.
    ephemeralCache: false,
  });
  const breaker = circuitBreaker(handleAll, { halfOpenAfter: breakMs, breaker: new ConsecutiveBreaker(1) });
  breaker.onBreak((reason) => {
    const error = "error" in reason ? messageOf(reason.error) : "unknown";
    logger.warn("rate limit: Redis failed, each instance counts on its own: {error}", { error: withoutCommand(error) });
  });
  breaker.onReset(() => logger.info("rate limit: Redis is back"));
  return { limit, breaker };
}
