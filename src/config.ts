import { z } from "zod";
import { splitList } from "./base/comma_list.ts";
import { SecretToken } from "./http/auth.ts";

/** A whole number in decimal digits. */
function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  return z.string().regex(/^\d+$/, "is not a whole number").transform(Number).pipe(
    z.number().min(minimum, `is less than ${minimum}`).max(maximum, `is more than ${maximum}`),
  );
}

/** A list, separated by commas; spaces around its items are ignored. */
function list() {
  return z.string().default("").transform(splitList);
}

/** Only the digest of a token is kept. */
const token = z.string().min(16, "has fewer than 16 characters").regex(
  /^[\x21-\x7e]*$/,
  "has characters that are not allowed in a header",
).transform((text) => new SecretToken(text));

const modelName = z.string().regex(/^[\w.-]+$/, "is not a model name");

/** Length of each unit, in milliseconds. */
const TIME_UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Requests per window, such as `60/1m`. */
const rate = z.string().regex(/^[1-9]\d{0,8}\/[1-9]\d{0,3}[smhd]$/, "is not a rate such as 60/1m").transform((text) => {
  const [requests, window] = text.split("/");
  return { requests: Number(requests), windowMs: parseInt(window) * TIME_UNITS[window.at(-1)!] };
});

/** An origin as browsers send it: scheme, host, and the port if it is not the scheme's default. */
const isOrigin = (text: string) => text === "*" || URL.parse(text)?.origin === text;

/** Every setting: its environment variable, its default, and its description in `docs/configuration.md`. */
export const settings = z.object({
  HOST: z.string().default("0.0.0.0").describe("Address to listen on."),
  PORT: integer(0, 65535).default(8000).describe("Port to listen on; `0` picks a free one."),
  CACHE_STORE: z.enum(["auto", "memory", "sqlite", "upstash"]).default("auto").describe(
    "Durable store behind the memory cache: `memory` (none), `sqlite`, `upstash` (Redis over REST), or `auto` (`upstash` if its URL and token are set, else `sqlite`).",
  ),
  CACHE_DIR: z.string().default(".cutcache").describe("Directory of the SQLite cache."),
  CACHE_KEY: z.enum(["content", "file_path"]).default("content").describe(
    "How `/predict` identifies an image: by its bytes (`content`) or by its name (`file_path`).",
  ),
  CACHE_SCOPE: z.enum(["all", "token"]).default("all").describe(
    "Who shares cached results: everyone (`all`), or only requests with the same token (`token`, needs `API_TOKENS`).",
  ),
  CACHE_TTL_SECONDS: integer(0).default(2_592_000).describe(
    "How long results are kept, in seconds; with `0`, they do not expire and are only evicted to make room.",
  ),
  CACHE_SLIDING_TTL: z.stringbool().default(false).describe(
    "Whether each read restarts `CACHE_TTL_SECONDS`: `true` or `false`.",
  ),
  CACHE_LOCAL_TTL_SECONDS: integer(1).default(60).describe(
    "How long memory serves a result before it checks the durable store again, in seconds; other instances notice a deletion within this time.",
  ),
  CACHE_LEASE_MS: integer(100).default(5000).describe(
    "How long other instances wait before they take over from one that died during an inference, in milliseconds (Redis only).",
  ),
  CACHE_MAX_BYTES: integer(0).default(33_554_432).describe(
    "Size limit of the memory cache, in bytes, including JSON responses that are kept ready to send.",
  ),
  CACHE_DISK_BYTES: integer(0).default(2_147_483_648).describe(
    "Size limit of the SQLite cache, in bytes; the least recently used results are evicted first.",
  ),
  CACHE_MAX_VALUE_BYTES: integer(0).default(16_777_216).describe(
    "Largest result written to Redis, in bytes of base64; if a result is larger, Redis keeps only its mask.",
  ),
  CACHE_REQUEST_BYTES: integer(10_000).default(1_000_000).describe(
    "Largest request sent to Redis, in bytes; larger results are written in parts. Upstash accepts 1 MB on its free plan and 10 MB on others; serverless-redis-http accepts 8,000,000 bytes.",
  ),
  CACHE_TIMEOUT_MS: integer(1).default(200).describe(
    "How long a request waits for the durable store, in milliseconds, before it counts as a miss.",
  ),
  CACHE_WRITE_TIMEOUT_MS: integer(1).default(5000).describe(
    "How long a deferred write may take, in milliseconds; no request waits for it.",
  ),
  CACHE_BREAK_MS: integer(1).default(5000).describe(
    "How long a failed durable store is skipped before it is tried again, in milliseconds.",
  ),
  UPSTASH_REDIS_REST_URL: z.url({ protocol: /^https?$/, error: "is not an http(s) URL" }).optional().describe(
    "URL of a Redis that speaks the Upstash REST protocol: Upstash, or serverless-redis-http in front of your own Redis.",
  ),
  UPSTASH_REDIS_REST_TOKEN: z.string().optional().describe("Token for `UPSTASH_REDIS_REST_URL`."),
  CDN_PURGE_URL: z.union([z.literal("off"), z.url({ protocol: /^https?$/ })], "is neither an http(s) URL nor `off`")
    .default("http://cache.localhost/invalidate/http").describe(
      'URL that receives `{"tags": […]}` when cached results are deleted, to purge a CDN; the default works on Deno Deploy and has no effect elsewhere; `off` disables it.',
    ),
  MODEL: modelName.default("u2netp").describe(
    "Default model: `u2netp`, `u2netp-fast`, `u2netp-rank32`, or another model in `static/models/`.",
  ),
  MODEL_PATH: z.string().optional().describe(
    "ONNX file of your own model, served instead of `MODEL`; needs `MODEL_MANIFEST`.",
  ),
  MODEL_MANIFEST: z.string().optional().describe("Manifest of the model at `MODEL_PATH`."),
  MODELS: list().pipe(z.array(modelName)).describe(
    "More models in `static/models/` to load at start, separated by commas; `u2netp`, `u2netp-fast` and `u2netp-rank32` are always available and load on first use.",
  ),
  INFERENCE_MODE: z.enum(["auto", "worker", "inline"]).default("auto").describe(
    "Where images are processed: `worker` (sandboxed workers), `inline` (the main thread: no sandbox, one image at a time) or `auto` (workers if the platform has them).",
  ),
  INFERENCE_BACKEND: z.enum(["wasm", "compiled", "native", "auto"]).default("wasm").describe(
    "Backend that runs the models: `wasm` (ONNX Runtime's WebAssembly build), `compiled` (Cutcache's own WebAssembly, for u2netp and u2netp-fast), `native` (ONNX Runtime's native build; needs `deno task start:native`) or `auto` (the fastest one that loads).",
  ),
  INFERENCE_THREADS: integer(1, 64).optional().describe("Threads per inference; defaults to the number of cores."),
  INFERENCE_WORKERS: integer(1, 64).default(1).describe(
    "Number of inferences that run at the same time; each loads its own copy of the model and takes about 300 MB.",
  ),
  INFERENCE_TIMEOUT_MS: integer(1).default(30_000).describe(
    "How long processing an image may take, in milliseconds, not counting its time in the queue; after that, the request gets 504 and the worker is replaced.",
  ),
  QUEUE_LIMIT: integer(1).default(100).describe(
    "Maximum number of images that wait; further requests get 503 with `Retry-After`.",
  ),
  MAX_BODY_BYTES: integer(1).default(20_971_520).describe("Largest request body, in bytes; larger ones get 413."),
  BODY_TIMEOUT_MS: integer(1).default(30_000).describe(
    "How long a request body may take to arrive, in milliseconds; slower ones get 408.",
  ),
  MAX_PENDING_BYTES: integer(1).default(268_435_456).describe(
    "Maximum total size of the request bodies in progress, in bytes; further requests get 503 with `Retry-After`.",
  ),
  ALLOW_IMAGE_URLS: z.stringbool().default(false).describe(
    "Whether requests may name an image by a URL, which the server fetches from the public Internet: `true` or `false`.",
  ),
  IMAGE_URL_NETWORKS: list().pipe(z.array(z.union([z.cidrv4(), z.cidrv6()], "is not a list of networks"))).describe(
    "Private networks from which the server may fetch images too, on any port, separated by commas, such as `10.1.0.0/16`; every client can then reach everything in them through the server.",
  ),
  IMAGE_URL_TIMEOUT_MS: integer(1).default(10_000).describe(
    "How long fetching an image may take, including redirects, in milliseconds; after that, the request gets 504.",
  ),
  MAX_PIXELS: integer(1).default(50_000_000).describe(
    "Largest image, in pixels (width × height), checked before decoding; larger ones get 413, and so do images that do not fit into the server's memory.",
  ),
  DRAIN_SECONDS: integer(0).default(30).describe(
    "How long a shutdown waits for requests and pending cache writes, in seconds.",
  ),
  DRAIN_DELAY_SECONDS: integer(0).default(0).describe(
    "How long the server keeps accepting requests after SIGTERM or SIGINT, in seconds, so that load balancers can notice that `/readyz` reports 503.",
  ),
  API_TOKENS: list().pipe(z.array(token)).describe(
    "Client tokens of at least 16 characters, separated by commas; if set, API requests need one as a bearer token or in `X-Api-Key`.",
  ),
  RATE_LIMIT: rate.optional().describe(
    "Maximum number of requests per time window, such as `10/1s`, `60/1m` or `1000/1h`, for each token, or for each client address without one; further requests get 429 with `Retry-After`. Instances that share a Redis count together.",
  ),
  TRUST_PROXY: integer(0, 16).default(0).describe(
    "Number of proxies in front of the server whose `X-Forwarded-For` entries are trusted; with `0`, the client's address is taken from the connection.",
  ),
  CORS_ORIGINS: list().pipe(z.array(z.string().refine(isOrigin, "is not a list of origins"))).describe(
    "Origins whose pages may use the API, separated by commas, such as `https://example.com`; `*` allows all. If this is set, pages of any origin may embed the images.",
  ),
  ADMIN_TOKEN: token.optional().describe(
    "Operator's token for `/cache` and, if `API_TOKENS` is set, for `/metrics`; without it, the cache can be listed, but nothing can be deleted.",
  ),
  LOG_FORMAT: z.enum(["auto", "text", "json"]).default("auto").describe(
    "Log format: `text`, `json` (one object per line) or `auto` (text on a terminal, else JSON).",
  ),
  LOG_LEVEL: z.enum(["debug", "info", "warning", "error"]).default("info").describe(
    "Lowest level to log: `debug`, `info`, `warning` or `error`.",
  ),
});

export type Config = z.infer<typeof settings>;

/** Names of the environment variables that the server reads. */
export const settingNames = Object.keys(settings.shape) as (keyof Config)[];

/**
 * Reads the settings from an environment; an empty variable counts as not set.
 * @throws {Error} that lists every invalid setting with its description.
 */
export function readConfig(environment: (name: string) => string | undefined): Config {
  const given = Object.fromEntries(settingNames.map((name) => [name, environment(name) || undefined]));
  const parsed = settings.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]) as keyof Config;
      const value = /_TOKENS?$/.test(name) ? "(hidden)" : JSON.stringify(given[name]);
      return `  ${name}=${value}: ${issue.message}. ${settings.shape[name].description}`;
    });
    throw new Error(`invalid settings:\n${lines.join("\n")}`);
  }
  const config = parsed.data;
  const credentials = [config.UPSTASH_REDIS_REST_URL, config.UPSTASH_REDIS_REST_TOKEN].filter(Boolean).length;
  if (credentials === 1 || (credentials === 0 && config.CACHE_STORE === "upstash")) {
    const missing = config.UPSTASH_REDIS_REST_URL ? "UPSTASH_REDIS_REST_TOKEN" : "UPSTASH_REDIS_REST_URL";
    throw new Error(
      `Redis over REST needs both UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN; set ${missing} too`,
    );
  }
  if (config.CACHE_SCOPE === "token" && config.API_TOKENS.length === 0) {
    throw new Error("CACHE_SCOPE=token needs API_TOKENS");
  }
  if (Boolean(config.MODEL_PATH) !== Boolean(config.MODEL_MANIFEST)) {
    const missing = config.MODEL_PATH ? "MODEL_MANIFEST" : "MODEL_PATH";
    throw new Error(`your own model needs both MODEL_PATH and MODEL_MANIFEST; set ${missing} too`);
  }
  return config;
}
