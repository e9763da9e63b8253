import type { Logger } from "@logtape/logtape";
import { Ratelimit } from "@upstash/ratelimit";
import { circuitBreaker, type CircuitBreakerPolicy, ConsecutiveBreaker, handleAll } from "cockatiel";
import { LRUCache } from "lru-cache";
import { messageOf } from "../base/errors.ts";
import { connectRedis, type RedisEndpoint, withoutCommand } from "../base/redis_client.ts";

/** A number of requests per window of time. */
export interface Rate {
  readonly requests: number;
  readonly windowMs: number;
}

/** The decision about one request. */
export interface Verdict {
  readonly allowed: boolean;
  /** The number of requests left in this window. */
  readonly remaining: number;
  /** The time until the window ends, in milliseconds. */
  readonly resetMs: number;
  /** The time until a refused request can be retried, in milliseconds. */
  readonly retryMs: number;
}

/** The maximum number of clients that are counted. Beyond it, the least recently active client is forgotten. */
const MAX_CLIENTS = 20_000;

interface Count {
  window: number;
  current: number;
  previous: number;
}

/**
 * A sliding window, estimated from the counters of two fixed windows: the previous one counts by the share of it that the
 * sliding window still covers. `@upstash/ratelimit` computes the same in Redis, so a limit means the same with and
 * without Redis.
 */
export class SlidingWindow {
  readonly #rate: Rate;
  readonly #counts = new LRUCache<string, Count>({ max: MAX_CLIENTS });

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** The decision about a request, without counting it. */
  peek(client: string, now = Date.now()): Verdict {
    const { requests, windowMs } = this.#rate;
    const { current, previous } = this.#countOf(client, now);
    const elapsed = now % windowMs;
    const left = requests - current - Math.floor(previous * (1 - elapsed / windowMs));
    // Free when the sliding window has left enough of the previous one, at the latest when this window has ended.
    const free = left > 0 ? elapsed : current < requests ? windowMs * (1 - (requests - current) / previous) : windowMs;
    return {
      allowed: left > 0,
      remaining: Math.max(0, left),
      resetMs: windowMs - elapsed,
      retryMs: Math.max(0, free - elapsed) + 1,
    };
  }

  /** Counts a request if it is allowed. */
  take(client: string, now = Date.now()): Verdict {
    const verdict = this.peek(client, now);
    if (!verdict.allowed) return verdict;
    this.count(client, now);
    return { ...verdict, remaining: verdict.remaining - 1 };
  }

  /** Counts a request that was allowed elsewhere. */
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

/** The Redis in which several instances count together. */
export interface SharedLimitOptions extends RedisEndpoint {
  /** How long Redis is skipped after a failure, in milliseconds. */
  breakMs: number;
  logger: Logger;
}

/**
 * Limits the requests of each client. Instances that share a Redis count together. Each instance also keeps its own
 * count: if that alone exceeds the limit, it refuses without asking Redis, and while Redis fails, it is the limit.
 */
export class RateLimiter {
  readonly rate: Rate;
  readonly #local: SlidingWindow;
  readonly #shared?: { limit: Ratelimit; breaker: CircuitBreakerPolicy };

  constructor(rate: Rate, shared?: SharedLimitOptions) {
    this.rate = rate;
    this.#local = new SlidingWindow(rate);
    this.#shared = shared && connect(rate, shared);
  }

  /** Counts a request if it is allowed. Never rejects. */
  async take(client: string): Promise<Verdict> {
    if (this.#shared === undefined) return this.#local.take(client);
    const { limit, breaker } = this.#shared;
    const local = this.#local.peek(client);
    if (!local.allowed) return local;
    try {
      const { success, remaining, reset } = await breaker.execute(() => limit.limit(client));
      const resetMs = Math.max(0, reset - Date.now());
      if (success) this.#local.count(client);
      return { allowed: success, remaining, resetMs, retryMs: resetMs + 1 };
    } catch {
      return this.#local.take(client); // `onBreak` has logged the error.
    }
  }
}

function connect(rate: Rate, { url, token, timeoutMs, breakMs, logger }: SharedLimitOptions) {
  const redis = connectRedis({ url, token, timeoutMs });
  const limit = new Ratelimit({
    redis,
    limiter: Ratelimit.slidingWindow(rate.requests, `${rate.windowMs} ms`),
    prefix: "cutcache:rate",
    // After this timeout every request would be allowed. The client's deadline makes it an error instead.
    timeout: 0,
    // This cache is unbounded; the local count replaces it.
    ephemeralCache: false,
  });
  const breaker = circuitBreaker(handleAll, { halfOpenAfter: breakMs, breaker: new ConsecutiveBreaker(1) });
  breaker.onBreak((reason) => {
    const error = "error" in reason ? messageOf(reason.error) : "unknown";
    logger.warn("rate limit: Redis failed, so each instance counts on its own: {error}", {
      error: withoutCommand(error),
    });
  });
  breaker.onReset(() => logger.info("rate limit: Redis works again"));
  return { limit, breaker };
}
