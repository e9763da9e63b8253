import { z } from "zod";
import { SecretToken } from "./http/auth.ts";

/** An integer written in decimal digits. */
function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  return z.string().regex(/^\d+$/, "is not a whole number").transform(Number).pipe(
    z.number().min(minimum, `is less than ${minimum}`).max(maximum, `is more than ${maximum}`),
  );
}

/** What stands between commas. */
function list() {
  return z.string().default("").transform((text) => text.split(",").map((part) => part.trim()).filter(Boolean));
}

/** Only its digest goes on from here. */
const token = z.string().min(16, "has fewer than 16 characters").regex(
  /^[\x21-\x7e]*$/,
  "has characters that no header can carry",
).transform((text) => new SecretToken(text));

const modelName = z.string().regex(/^[\w.-]+$/, "is no name of a model");

/** In milliseconds. */
const TIME_UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `60/1m`: requests in a window. */
const rate = z.string().regex(/^[1-9]\d{0,8}\/[1-9]\d{0,3}[smhd]$/, "is not a rate such as 60/1m").transform((text) => {
  const [requests, window] = text.split("/");
  return { requests: Number(requests), windowMs: parseInt(window) * TIME_UNITS[window.at(-1)!] };
});

/** As browsers send it: scheme, host, and port where it is not the scheme's own. */
const isOrigin = (text: string) => text === "*" || URL.parse(text)?.origin === text;

/**
 * Every setting: its environment variable, its default and, in `describe`, its line in the README (a test compares the
 * two).
 */
export const settings = z.object({
  HOST: z.string().default("0.0.0.0").describe("Address to listen on."),
  PORT: integer(0, 65535).default(8000).describe("Port to listen on; 0 takes a free one and prints it."),
  CACHE_STORE: z.enum(["auto", "memory", "sqlite", "upstash"]).default("auto").describe(
    "Durable store behind the memory cache: `memory` (none), `sqlite`, `upstash` (Redis over REST); `auto` takes `upstash` where its URL and token are set, else `sqlite`.",
  ),
  CACHE_DIR: z.string().default(".cutcache").describe("Folder of the SQLite cache."),
  CACHE_KEY: z.enum(["content", "file_path"]).default("content").describe(
    "What `/predict` knows an image by: its bytes, or the name it came under.",
  ),
  CACHE_TTL_SECONDS: integer(0).default(2_592_000).describe(
    "How long results are kept, in seconds; 0 keeps them as long as there is room.",
  ),
  CACHE_SLIDING_TTL: z.stringbool().default(false).describe(
    "Whether that time begins anew each time a result is read: `true` or `false`.",
  ),
  CACHE_LOCAL_TTL_SECONDS: integer(1).default(60).describe(
    "How long memory answers without asking the durable store again, in seconds: after that, other instances have noticed a deletion.",
  ),
  CACHE_LEASE_MS: integer(100).default(5000).describe(
    "How long an instance that died in the middle of an inference keeps the others from it, in milliseconds (Redis only).",
  ),
  CACHE_MAX_BYTES: integer(0).default(33_554_432).describe(
    "Bound of the memory cache, in bytes; prepared answers count.",
  ),
  CACHE_DISK_BYTES: integer(0).default(2_147_483_648).describe(
    "Bound of the SQLite cache, in bytes; the least recently used results go first.",
  ),
  CACHE_MAX_VALUE_BYTES: integer(0).default(1_000_000).describe(
    "Largest value written to Redis, in bytes as encoded for it (base64); of a larger result only the mask is kept there.",
  ),
  CACHE_TIMEOUT_MS: integer(1).default(200).describe(
    "How long a request may wait for the durable store, in milliseconds; then it goes on as a miss.",
  ),
  CACHE_WRITE_TIMEOUT_MS: integer(1).default(5000).describe(
    "How long a deferred write may take, in milliseconds; no request waits for it.",
  ),
  CACHE_BREAK_MS: integer(1).default(5000).describe(
    "How long a durable store that failed is left alone before it is tried again, in milliseconds.",
  ),
  UPSTASH_REDIS_REST_URL: z.url({ protocol: /^https?$/, error: "is not an http(s) URL" }).optional().describe(
    "Redis over the Upstash REST protocol: address of Upstash or serverless-redis-http.",
  ),
  UPSTASH_REDIS_REST_TOKEN: z.string().optional().describe("Token for it."),
  CDN_PURGE_URL: z.union([z.literal("off"), z.url({ protocol: /^https?$/ })], "is neither an address nor `off`")
    .default("http://cache.localhost/invalidate/http").describe(
      'Where `DELETE /cache` has a CDN forget as well, by `{"tags": […]}`: Deno Deploy\'s by default, silently where none answers; `off`: nowhere.',
    ),
  MODEL: modelName.default("u2netp").describe(
    "The model where a request names none: `u2netp`, `u2netp-fast`, `u2netp-rank32`, or another of `static/models/`.",
  ),
  MODEL_PATH: z.string().optional().describe("ONNX file of a model to serve in the place of `MODEL`."),
  MODEL_MANIFEST: z.string().optional().describe("Its manifest; the two go together."),
  MODELS: list().pipe(z.array(modelName)).describe(
    "Further models of `static/models/`, loaded at the start, separated by commas; the three above are loaded when a request names them.",
  ),
  INFERENCE_MODE: z.enum(["auto", "worker", "inline"]).default("auto").describe(
    "Where images are worked at: in workers (`worker`), or on the main thread (`inline`), where requests wait for each other and nothing is sandboxed; `auto`: in workers wherever there are any.",
  ),
  INFERENCE_BACKEND: z.enum(["wasm", "native", "auto"]).default("wasm").describe(
    "ONNX Runtime's build: `wasm`, or `native`, which `deno task start:native` is allowed to load; `auto`: native where it loads.",
  ),
  INFERENCE_THREADS: integer(1, 64).optional().describe(
    "Threads of one inference; default: as many as there are cores.",
  ),
  INFERENCE_WORKERS: integer(1, 64).default(1).describe("Inferences at a time; each holds the model and about 300 MB."),
  INFERENCE_TIMEOUT_MS: integer(1).default(30_000).describe(
    "How long a job may take, without its time in the queue, in milliseconds; then its worker is replaced and it is answered 504.",
  ),
  QUEUE_LIMIT: integer(1).default(100).describe("Images that may wait; the next is answered 503 with `Retry-After`."),
  MAX_BODY_BYTES: integer(1).default(20_971_520).describe(
    "Largest request body, in bytes; a larger one is answered 413.",
  ),
  BODY_TIMEOUT_MS: integer(1).default(30_000).describe(
    "How long a request body may take to arrive, in milliseconds; a slower one is answered 408.",
  ),
  MAX_PENDING_BYTES: integer(1).default(268_435_456).describe(
    "Bodies of all requests under way together, in bytes; the request that goes beyond is answered 503 with `Retry-After`.",
  ),
  ALLOW_IMAGE_URLS: z.stringbool().default(false).describe(
    "Whether requests may name an image by its address on the public Internet, to be fetched from here: `true` or `false`.",
  ),
  IMAGE_URL_NETWORKS: z.string().default("").transform((list) =>
    list.split(",").map((item) => item.trim()).filter(Boolean)
  )
    .pipe(z.array(z.union([z.cidrv4(), z.cidrv6()], "is not a list of networks"))).describe(
      "Networks of your own that images may be fetched from as well, at any port, separated by commas, such as `10.1.0.0/16`; whoever may send requests can have everything there asked.",
    ),
  IMAGE_URL_TIMEOUT_MS: integer(1).default(10_000).describe(
    "How long fetching an image may take, redirects included, in milliseconds; then the request is answered 504.",
  ),
  MAX_PIXELS: integer(1).default(50_000_000).describe(
    "Largest image, in pixels (width × height), checked before it is decoded; a larger one is answered 413, and so is one that the memory of the server does not suffice for.",
  ),
  DRAIN_SECONDS: integer(0).default(30).describe(
    "How long SIGTERM and SIGINT wait for requests and pending cache writes, in seconds.",
  ),
  DRAIN_DELAY_SECONDS: integer(0).default(0).describe(
    "How long requests are still taken after SIGTERM and SIGINT while `/readyz` says not ready, in seconds, for load balancers that need the time.",
  ),
  API_TOKENS: list().pipe(z.array(token)).describe(
    "Tokens of at least 16 characters, separated by commas, as bearer or `X-Api-Key`: while there are any, all but `/`, `/health`, `/livez`, `/readyz`, `/metadata`, `/jobs/{id}` and the documentation needs one.",
  ),
  RATE_LIMIT: rate.optional().describe(
    "Requests that one token, or else one address, may send in a window: `10/1s`, `60/1m`, `1000/1h`; more are answered 429 with `Retry-After`. Instances that share a Redis count together.",
  ),
  TRUST_PROXY: integer(0, 16).default(0).describe(
    "Proxies in front whose `X-Forwarded-For` entries are believed, as a number; with 0 a client's address is where the connection comes from.",
  ),
  CORS_ORIGINS: list().pipe(z.array(z.string().refine(isOrigin, "is not a list of origins"))).describe(
    "Origins whose pages may use the API, separated by commas, such as `https://example.com`; `*` is all. Pages of every origin may then show the images.",
  ),
  ADMIN_TOKEN: token.optional().describe(
    "Token for `/cache`, and with `API_TOKENS` for `/metrics`, as bearer or `X-Api-Key`; while none is set, everybody may read there and nobody delete.",
  ),
  LOG_FORMAT: z.enum(["auto", "text", "json"]).default("auto").describe(
    "`text` lines, or one `json` object a line; `auto`: text on a terminal, else json.",
  ),
  LOG_LEVEL: z.enum(["debug", "info", "warning", "error"]).default("info").describe(
    "Least important level that is logged.",
  ),
});

export type Config = z.infer<typeof settings>;

/** The environment variables that are read. */
export const settingNames = Object.keys(settings.shape) as (keyof Config)[];

/**
 * Reads the settings from an environment; an empty variable counts as not set.
 * @throws {Error} that lists every setting that is wrong and what would be right.
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
    throw new Error(`these settings are wrong:\n${lines.join("\n")}`);
  }
  const config = parsed.data;
  const credentials = [config.UPSTASH_REDIS_REST_URL, config.UPSTASH_REDIS_REST_TOKEN].filter(Boolean).length;
  if (credentials === 1 || (credentials === 0 && config.CACHE_STORE === "upstash")) {
    throw new Error("Redis over REST needs both UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN");
  }
  if (Boolean(config.MODEL_PATH) !== Boolean(config.MODEL_MANIFEST)) {
    throw new Error("a model of your own needs both MODEL_PATH and MODEL_MANIFEST");
  }
  return config;
}

/** The README's table of settings, in Markdown. */
export function settingsTable(): string {
  const defaults = settings.parse({});
  const rows = settingNames.map((name) => {
    const value: string | undefined = defaults[name]?.toString();
    const shown = !value ? "" : `\`${value}\``;
    return `| \`${name}\` | ${shown} | ${settings.shape[name].description} |`;
  });
  return ["| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}
