import { dispose, type Logger } from "@logtape/logtape";
import { setTimeout as delay } from "node:timers/promises";
import denoJson from "../deno.json" with { type: "json" };
import { createApp } from "./app.ts";
import { DeferredWork } from "./base/deferred.ts";
import { CircuitBreakerStore } from "./cache/circuit_breaker.ts";
import { MemoryStore } from "./cache/memory.ts";
import { SqliteStore } from "./cache/sqlite.ts";
import { isFull } from "./cache/sqlite_file.ts";
import { TieredStore } from "./cache/tiered.ts";
import { UpstashStore } from "./cache/upstash.ts";
import type { Config } from "./config.ts";
import { CutoutService } from "./cutouts/service.ts";
import { BodyReader } from "./http/body.ts";
import { GracefulServer } from "./http/graceful_server.ts";
import type { RateLimiter } from "./http/rate_limit.ts";
import type { ImageFetcher } from "./http/safe_fetch/fetch_image.ts";
import { discardUnread } from "./http/unread_body.ts";
import type { Engine } from "./inference/engine/engine.ts";
import type { Model } from "./inference/model/manifest.ts";
import { Readiness } from "./routes/service/readiness.ts";
import { CdnPurger } from "./routes/shared/cdn.ts";
import { MetricsExporter, type MetricsExporterOptions } from "./telemetry/otlp_metrics.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";

/** In seconds: the longest time that caches are asked to keep anything. */
const ONE_YEAR = 31_536_000;

/** How long the warm-up waits after the start, in milliseconds: a request that is waiting by then is the first run. */
const WARM_UP_AFTER_MS = 200;

const CDN_PURGE_TIMEOUT_MS = 2000;

/** One Ctrl+C arrives several times: from the terminal, and passed on by `deno task` and `tools/start.ts`. */
const REPEATED_SIGNAL_MS = 1000;

/** The largest request that serverless-redis-http accepts, in bytes. Upstash accepts 10 MB. */
const GATEWAY_REQUEST_BYTES = 8_000_000;

export interface ServeOptions {
  config: Config;
  /** All models that a request can name. The first is the default. */
  models: [Model, ...Model[]];
  engine: Engine;
  telemetry: Telemetry;
  /** Where metrics are sent, if they are. */
  metricsExport?: Pick<MetricsExporterOptions, "url" | "headers" | "intervalMs" | "serviceName">;
  pageFolder: URL;
  logger: Logger;
}

/**
 * Serves until SIGINT or SIGTERM, finishes all accepted work, and ends the process.
 * @throws {Error} if a model cannot be loaded or the store cannot be opened.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { config, models, engine, telemetry, metricsExport, pageFolder, logger } = options;
  const engineReady = engine.ready().then(() => {
    const { backend, backendReason, threads } = engine.status();
    logger.info("Models run on the {backend} backend with {threads} threads: {reason}", {
      backend,
      threads,
      reason: backendReason,
    });
  });
  // Awaited below. Until then a failure must not end the process as an unhandled rejection.
  engineReady.catch(() => {});

  const readiness = new Readiness(engine);
  const durable = await openDurableStore(config, logger);
  // Tells at the start that Redis does not answer, or that its token is wrong: the breaker logs it.
  if (durable?.name === "redis") durable.get("start").catch(() => {});
  const cache = new TieredStore(openMemoryStore(config, durable !== undefined), durable);
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
    maxAgeSeconds: config.CACHE_TTL_SECONDS || ONE_YEAR,
    imageUrls: await createImageFetcher(config),
    needsToken: config.API_TOKENS.length > 0,
    bodies: new BodyReader({
      maxBytes: config.MAX_BODY_BYTES,
      maxPendingBytes: config.MAX_PENDING_BYTES,
      timeoutMs: config.BODY_TIMEOUT_MS,
    }),
    access: {
      apiTokens: config.API_TOKENS,
      scopeByToken: config.CACHE_SCOPE === "token",
      rateLimiter: await createRateLimiter(config, logger),
      trustedProxies: config.TRUST_PROXY,
    },
    corsOrigins: config.CORS_ORIGINS,
    readiness,
    telemetry,
    logger,
  });

  const respond = async (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => {
    const response = await app.fetch(request, info, deferred);
    // The rest of a body that is too large is read, up to the same size again, so that its sender gets the response.
    const limits = { maxBytes: 2 * config.MAX_BODY_BYTES, timeoutMs: config.BODY_TIMEOUT_MS };
    if (response.status >= 400) await discardUnread(request, limits);
    return response;
  };

  const { registry } = telemetry;
  const exporter = metricsExport && new MetricsExporter({ ...metricsExport, registry, logger });
  const stopping = firstSignal("SIGINT", "SIGTERM");
  // Listens before the models are loaded: an image that arrives meanwhile can be decoded.
  const server = GracefulServer.listen({ hostname: config.HOST, port: config.PORT }, respond);
  const address = urlOf(server.address);
  logger.info("Cutcache {version} is listening on {address} with model {model} and store {store}", {
    version: denoJson.version,
    address,
    model: models[0].manifest.name,
    store: cache.name,
  });

  await engineReady;
  console.error(
    `\nOpen ${address}\n\nOr, in another terminal in this folder:\n\n  ${exampleRequest(address, config)}\n`,
  );
  setTimeout(() => readiness.warmUp({ logger }), WARM_UP_AFTER_MS);

  const signal = await stopping;
  logger.info("{signal}: finishing requests and {pending} pending writes", { signal, pending: deferred.pending });
  readiness.stop();
  server.endConnections();
  await delay(config.DRAIN_DELAY_SECONDS * 1000);
  const drain = async () => {
    await server.stop();
    await deferred.settled();
    await exporter?.close();
    return true;
  };
  const inTime = await Promise.race([drain(), delay(config.DRAIN_SECONDS * 1000, false)]);
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

/** In front of a durable store, memory holds entries for a short time: another instance may delete them there. */
function openMemoryStore(config: Config, hasDurable: boolean): MemoryStore {
  const { CACHE_TTL_SECONDS: ttlSeconds, CACHE_LOCAL_TTL_SECONDS, CACHE_SLIDING_TTL: slidingTtl } = config;
  return new MemoryStore({
    maxBytes: config.CACHE_MAX_BYTES,
    ...(hasDurable
      ? { ttlSeconds: Math.min(CACHE_LOCAL_TTL_SECONDS, ttlSeconds || Infinity) }
      : { ttlSeconds, slidingTtl }),
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
      // Reads too: an answer that comes after its request went on still fills memory.
      timeoutMs: Math.max(timeouts.readTimeoutMs, timeouts.writeTimeoutMs),
      maxValueBytes: config.CACHE_MAX_VALUE_BYTES,
      maxRequestBytes: config.CACHE_REQUEST_BYTES,
    });
    if (config.CACHE_REQUEST_BYTES > GATEWAY_REQUEST_BYTES) {
      logger.warn("CACHE_REQUEST_BYTES={bytes} is more than serverless-redis-http accepts ({limit} bytes)", {
        bytes: config.CACHE_REQUEST_BYTES,
        limit: GATEWAY_REQUEST_BYTES,
      });
    }
    return new CircuitBreakerStore(redis, { ...timeouts, breakMs: config.CACHE_BREAK_MS, logger });
  }
  try {
    await Deno.mkdir(config.CACHE_DIR, { recursive: true });
    const path = `${config.CACHE_DIR}/cutcache.sqlite`;
    const sqlite = new SqliteStore({
      path,
      maxBytes: config.CACHE_DISK_BYTES,
      ...entries,
      onDamaged: (aside) => {
        logger.warn("{path} was damaged; it was moved to {aside} and replaced by a new one", { path, aside });
      },
      onReplaced: () => logger.warn("{path} was deleted or replaced; the file that is there now is used", { path }),
    });
    return new CircuitBreakerStore(sqlite, { ...timeouts, breakMs: config.CACHE_BREAK_MS, logger });
  } catch (error) {
    if (isFull(error)) {
      logger.warn("the disk of CACHE_DIR={path} is full: results are kept in memory only", { path: config.CACHE_DIR });
      return undefined;
    }
    throw new Error(
      `CACHE_DIR=${config.CACHE_DIR} cannot be written: ${(error as Error).message}. ` +
        "Choose another folder, or set CACHE_STORE=memory to keep results in memory only.",
      { cause: error },
    );
  }
}

/** Its modules are loaded only if it is wanted, which shortens the start of all other servers. */
async function createImageFetcher(config: Config): Promise<ImageFetcher | undefined> {
  if (!config.ALLOW_IMAGE_URLS) return undefined;
  const [{ PublicImageFetcher }, { AddressPolicy }] = await Promise.all([
    import("./http/safe_fetch/public_image_fetcher.ts"),
    import("./http/safe_fetch/address_policy.ts"),
  ]);
  return new PublicImageFetcher({
    policy: new AddressPolicy(config.IMAGE_URL_NETWORKS),
    maxBytes: config.MAX_BODY_BYTES,
    maxPendingBytes: config.MAX_PENDING_BYTES,
    timeoutMs: config.IMAGE_URL_TIMEOUT_MS,
  });
}

/** Counts in Redis if there is one, whichever store the cache uses. */
async function createRateLimiter(config: Config, logger: Logger): Promise<RateLimiter | undefined> {
  const { RATE_LIMIT: rate, UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = config;
  if (rate === undefined) return undefined;
  const { RateLimiter } = await import("./http/rate_limit.ts");
  if (url === undefined || token === undefined) return new RateLimiter(rate);
  const { CACHE_TIMEOUT_MS: timeoutMs, CACHE_BREAK_MS: breakMs } = config;
  return new RateLimiter(rate, { url, token, timeoutMs, breakMs, logger });
}

function urlOf({ hostname, port }: Deno.NetAddr): string {
  const host = hostname === "0.0.0.0" || hostname === "::" ? "localhost" : hostname;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** One line of shell that sends a picture of this repository and saves its cutout. It shows errors. */
function exampleRequest(address: string, { API_TOKENS }: Config): string {
  const token = API_TOKENS.length > 0 ? ' -H "Authorization: Bearer $TOKEN"' : "";
  return `curl -fS${token} --data-binary @tests/fixtures/coffee.jpg ${address}/cutouts -o cutout.png`;
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
