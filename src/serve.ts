import { dispose, type Logger } from "@logtape/logtape";
import denoJson from "../deno.json" with { type: "json" };
import { createApp } from "./app.ts";
import { CircuitBreakerStore } from "./cache/circuit_breaker.ts";
import { MemoryStore } from "./cache/memory.ts";
import { openSqliteStore } from "./cache/sqlite.ts";
import { TieredStore } from "./cache/tiered.ts";
import { UpstashStore } from "./cache/upstash.ts";
import type { Config } from "./config.ts";
import { DeferredWork } from "./base/deferred.ts";
import { BodyReader } from "./http/body.ts";
import { CdnPurger } from "./routes/shared/cdn.ts";
import type { ImageFetcher } from "./http/safe_fetch/fetch_image.ts";
import type { RateLimiter } from "./http/rate_limit.ts";
import { discardUnread } from "./http/unread_body.ts";
import type { Engine } from "./inference/engine/engine.ts";
import type { Model } from "./inference/model/manifest.ts";
import { CutoutService } from "./cutouts/service.ts";
import { Readiness } from "./routes/service/readiness.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";

/** In seconds; as long as anything is kept by caches (RFC 9111, section 5.3, of its time). */
const ONE_YEAR = 31_536_000;

const WARM_UP_AFTER_MS = 200;

const CDN_PURGE_TIMEOUT_MS = 2000;

/** One Ctrl+C arrives several times: from the terminal, and passed on by `deno task` and `tools/start.ts`. */
const REPEATED_SIGNAL_MS = 1000;

export interface ServeOptions {
  config: Config;
  /** Every model that a request may name; the first is the default. */
  models: [Model, ...Model[]];
  engine: Engine;
  telemetry: Telemetry;
  pageFolder: URL;
  logger: Logger;
}

/**
 * Serves until SIGINT or SIGTERM, then finishes what has been taken on, and ends the process.
 * @throws {Error} where a model cannot be loaded or the store cannot be opened.
 */
export async function serve({ config, models, engine, telemetry, pageFolder, logger }: ServeOptions): Promise<void> {
  const ready = engine.ready();
  // Whoever waits for it below is told.
  ready.catch(() => {});
  const readiness = new Readiness(engine);

  const durable = await openDurableStore(config, logger);
  const ttlSeconds = config.CACHE_TTL_SECONDS;
  const memory = new MemoryStore({
    maxBytes: config.CACHE_MAX_BYTES,
    ...(durable
      ? { ttlSeconds: Math.min(config.CACHE_LOCAL_TTL_SECONDS, ttlSeconds || Infinity) }
      : { ttlSeconds, slidingTtl: config.CACHE_SLIDING_TTL }),
  });
  const cache = new TieredStore(memory, durable);
  const deferred = new DeferredWork(logger);
  const cutouts = new CutoutService({
    cache,
    engine,
    keyBy: config.CACHE_KEY,
    leaseMs: config.CACHE_LEASE_MS,
    leaseWaitMs: config.INFERENCE_TIMEOUT_MS,
    observer: telemetry,
  });
  const app = createApp({
    appVersion: denoJson.version,
    models,
    pageFolder,
    store: cache.name,
    engineStatus: () => engine.status(),
    storeHealth: () => durable?.health(),
    deferred,
    cutouts,
    cache,
    adminToken: config.ADMIN_TOKEN,
    cdn: config.CDN_PURGE_URL === "off"
      ? undefined
      : new CdnPurger({ url: config.CDN_PURGE_URL, timeoutMs: CDN_PURGE_TIMEOUT_MS, logger }),
    maxAgeSeconds: ttlSeconds || ONE_YEAR,
    imageUrls: await imageFetcher(config),
    needsToken: config.API_TOKENS.length > 0,
    bodies: new BodyReader({
      maxBytes: config.MAX_BODY_BYTES,
      maxPendingBytes: config.MAX_PENDING_BYTES,
      timeoutMs: config.BODY_TIMEOUT_MS,
    }),
    admission: {
      apiTokens: config.API_TOKENS,
      rateLimiter: await rateLimiterOf(config, logger),
      trustedProxies: config.TRUST_PROXY,
    },
    corsOrigins: config.CORS_ORIGINS,
    readiness,
    telemetry,
    logger,
  });

  const stopping = firstSignal("SIGINT", "SIGTERM");
  // Before the models are loaded: the image of a request that is here by then is decoded meanwhile.
  const listening = Promise.withResolvers<string>();
  const server = Deno.serve({
    hostname: config.HOST,
    port: config.PORT,
    onListen: ({ hostname, port }) => {
      const host = hostname === "0.0.0.0" || hostname === "::" ? "localhost" : hostname;
      const address = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
      logger.info("Cutcache {version} listens on {address}, model {model}, store {store}", {
        version: denoJson.version,
        address,
        model: models[0].manifest.name,
        store: cache.name,
      });
      listening.resolve(address);
    },
  }, async (request, info) => {
    const response = await app.fetch(request, info, deferred);
    if (response.status >= 400) {
      // Of a body that is too large, as much again as would have been taken.
      await discardUnread(request, { maxBytes: 2 * config.MAX_BODY_BYTES, timeoutMs: config.BODY_TIMEOUT_MS });
    }
    return response;
  });

  await ready;
  const example = exampleRequest(await listening.promise);
  console.error(`\nTry it, in another terminal in this folder:\n\n  ${example}\n`);
  // A request that has been waiting for the start goes first, and is the first run itself.
  setTimeout(() => readiness.warmUp({ logger }), WARM_UP_AFTER_MS);

  const signal = await stopping;
  logger.info("{signal}: finishing requests and {pending} pending writes", { signal, pending: deferred.pending });
  readiness.stop();
  await after(config.DRAIN_DELAY_SECONDS * 1000, undefined);
  const drained = (async () => {
    await server.shutdown();
    await deferred.settled();
    return true;
  })();
  const inTime = await Promise.race([drained, after(config.DRAIN_SECONDS * 1000, false)]);
  if (!inTime) {
    logger.error("gave up after {seconds} s with {pending} writes pending", {
      seconds: config.DRAIN_SECONDS,
      pending: deferred.pending,
    });
  }
  engine.close();
  cache.close();
  logger.info("stopped");
  await dispose();
  Deno.exit(inTime ? 0 : 1);
}

async function imageFetcher(config: Config): Promise<ImageFetcher | undefined> {
  if (!config.ALLOW_IMAGE_URLS) return undefined;
  // Loaded where it is wanted: the start of all others is a little shorter.
  const [{ PublicImageFetcher }, { AddressPolicy }] = await Promise.all([
    import("./http/safe_fetch/image_fetcher.ts"),
    import("./http/safe_fetch/address_policy.ts"),
  ]);
  return new PublicImageFetcher({
    policy: new AddressPolicy(config.IMAGE_URL_NETWORKS),
    maxBytes: config.MAX_BODY_BYTES,
    maxPendingBytes: config.MAX_PENDING_BYTES,
    timeoutMs: config.IMAGE_URL_TIMEOUT_MS,
  });
}

async function openDurableStore(config: Config, logger: Logger): Promise<CircuitBreakerStore | undefined> {
  const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = config;
  const kind = config.CACHE_STORE === "auto" ? (url ? "upstash" : "sqlite") : config.CACHE_STORE;
  const timeouts = { readTimeoutMs: config.CACHE_TIMEOUT_MS, writeTimeoutMs: config.CACHE_WRITE_TIMEOUT_MS };
  const entries = { ttlSeconds: config.CACHE_TTL_SECONDS, slidingTtl: config.CACHE_SLIDING_TTL };
  if (kind === "memory") return undefined;
  if (kind === "upstash") {
    const redis = new UpstashStore({
      url: url!,
      token: token!,
      ...entries,
      maxValueBytes: config.CACHE_MAX_VALUE_BYTES,
      ...timeouts,
    });
    return new CircuitBreakerStore(redis, { ...timeouts, breakMs: config.CACHE_BREAK_MS, logger });
  }
  try {
    await Deno.mkdir(config.CACHE_DIR, { recursive: true });
    const path = `${config.CACHE_DIR}/cutcache.sqlite`;
    const sqlite = openSqliteStore({ path, maxBytes: config.CACHE_DISK_BYTES, ...entries }, (aside) => {
      logger.warn("{path} was damaged; it lies at {aside} and a new one was made", { path, aside });
    });
    return new CircuitBreakerStore(sqlite, { ...timeouts, breakMs: config.CACHE_BREAK_MS, logger });
  } catch (error) {
    throw new Error(
      `CACHE_DIR=${config.CACHE_DIR} cannot be written: ${(error as Error).message}. ` +
        "Name another folder, or keep results in memory only with CACHE_STORE=memory.",
      { cause: error },
    );
  }
}

/** Counts in Redis wherever there is one, whatever the cache's store. */
async function rateLimiterOf(config: Config, logger: Logger): Promise<RateLimiter | undefined> {
  const { RATE_LIMIT: rate, UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = config;
  if (rate === undefined) return undefined;
  const { RateLimiter } = await import("./http/rate_limit.ts");
  if (url === undefined || token === undefined) return new RateLimiter(rate);
  return new RateLimiter(rate, {
    url,
    token,
    timeoutMs: config.CACHE_TIMEOUT_MS,
    breakMs: config.CACHE_BREAK_MS,
    logger,
  });
}

/** One line of shell that sends a picture of this repository and writes its cutout. */
function exampleRequest(address: string): string {
  return `curl -sf --data-binary @tests/fixtures/coffee.jpg ${address}/cutouts -o cutout.png`;
}

/** Resolves with the first of these signals. A later one ends the process as usual, unless it repeats the first. */
function firstSignal(...signals: Deno.Signal[]): Promise<Deno.Signal> {
  return new Promise((resolve) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listeners = signals.map((signal) => {
      const listener = () => {
        resolve(signal);
        timer ??= setTimeout(() => {
          for (const [name, other] of listeners) Deno.removeSignalListener(name, other);
        }, REPEATED_SIGNAL_MS);
      };
      Deno.addSignalListener(signal, listener);
      return [signal, listener] as const;
    });
  });
}

function after<T>(milliseconds: number, value: T): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds, value));
}
