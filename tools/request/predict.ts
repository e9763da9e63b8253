import { hc } from "hono/client";
import { z } from "zod";
import type { AppType } from "../../src/app.ts";

const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 60_000;
/** A server that refuses or resets connections is usually down: it gets fewer retries than one that is busy. */
const CONNECTION_RETRIES = 2;
const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const Body = z.discriminatedUnion("status", [
  z.object({ status: z.literal("ok"), img_none_bg_base64: z.string() }),
  z.object({ status: z.literal("ng"), error: z.object({ code: z.string(), message: z.string() }).nullish() }),
]);

/** Options of {@link predict}. */
export interface PredictOptions {
  /** The server's URL. */
  url: string;
  /** One of the server's `API_TOKENS`. */
  token?: string;
  /** How the server finds the alpha of edges; by default as the model sees them. */
  matting?: "none" | "refine" | "hair";
  /** Whether to try an image's digest first, so that no known image is sent. */
  tryDigest: boolean;
  /** How long one attempt may take, including the body of the response. */
  timeoutMs: number;
  /** How often a 503 or 429 is retried. */
  retries: number;
  /** When it is aborted, there are no more waits and no more attempts. A running request finishes. */
  stop?: AbortSignal;
}

/** Dependencies of {@link predict}; tests may replace them. */
export interface PredictDeps {
  fetch: typeof fetch;
  /** Resolves after `ms`, or rejects when `stop` is aborted. */
  sleep: (ms: number, stop?: AbortSignal) => Promise<unknown>;
}

export interface Cutout {
  png: Uint8Array;
  /** Undefined if the server does not say. */
  cache?: "hit" | "miss";
  /** The time of the successful attempt, without failed attempts and waits. */
  latencyMs: number;
  /** Bytes of the body that did not have to be sent, because the server knew the image's digest. */
  savedBytes: number;
}

type Client = ReturnType<typeof hc<AppType>>;
type PredictBody = Parameters<Client["predict"]["$post"]>[0]["json"];

/** A failure that may be temporary. */
class TransientError extends Error {
  constructor(message: string, readonly retries: number, readonly waitMs?: number) {
    super(message);
  }
}

/**
 * Gets the cutout of one image from the server. A 503 or 429 is retried after its `Retry-After`, or without one after 1 s,
 * 2 s, 4 s…; a failed connection is retried in the same way, but at most twice. No wait is longer than 60 s.
 *
 * @throws {Error} with a message for the user if the server or the connection fails.
 */
export async function predict(
  name: string,
  image: Uint8Array<ArrayBuffer>,
  options: PredictOptions,
  deps: PredictDeps,
): Promise<Cutout> {
  const { url, token } = options;
  const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const client = hc<AppType>(url, { fetch: deps.fetch, headers });
  const known = options.tryDigest && await getByDigest(client, name, image, options);
  if (known) return known;
  const body = { ...fieldsOf(name, options), img_base64: image.toBase64() };
  for (let attempt = 1;; attempt++) {
    try {
      return await post(client, body, options);
    } catch (error) {
      if (!(error instanceof TransientError) || attempt > Math.min(error.retries, options.retries)) throw error;
      const waitMs = Math.min(error.waitMs ?? FIRST_WAIT_MS * 2 ** (attempt - 1), MAX_WAIT_MS);
      await deps.sleep(waitMs, options.stop).catch(() => {
        throw error;
      });
    }
  }
}

/** Gets a cutout that the server has cached; undefined if it has none, or on any failure: then the image is sent. */
async function getByDigest(
  client: Client,
  name: string,
  image: Uint8Array<ArrayBuffer>,
  options: PredictOptions,
): Promise<Cutout | undefined> {
  const started = performance.now();
  try {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", image)).toHex();
    const init = { signal: AbortSignal.timeout(options.timeoutMs) };
    const query = options.matting === undefined ? {} : { matting: options.matting };
    const response = await client.cutouts[":image"].$get({ param: { image: digest }, query, header: {} }, { init });
    const png = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200 || !isPng(png)) return undefined;
    const savedBytes = bodyLength(name, image, options);
    return { png, cache: cacheOf(response.headers), latencyMs: performance.now() - started, savedBytes };
  } catch {
    // Sending the image will reveal the problem.
    return undefined;
  }
}

/** The length of the body that {@link predict} would send, in bytes. */
function bodyLength(name: string, image: Uint8Array, options: PredictOptions): number {
  const frame = new TextEncoder().encode(JSON.stringify({ ...fieldsOf(name, options), img_base64: "" })).length;
  return frame + Math.ceil(image.length / 3) * 4;
}

/** The fields of a request's body but for the image. */
function fieldsOf(name: string, { matting }: PredictOptions) {
  return { file_path: name, ...(matting !== undefined && { options: { matting } }) };
}

async function post(client: Client, json: PredictBody, { timeoutMs, retries }: PredictOptions): Promise<Cutout> {
  const started = performance.now();
  let response: Awaited<ReturnType<Client["predict"]["$post"]>>;
  let text: string;
  try {
    const init = { signal: AbortSignal.timeout(timeoutMs) };
    response = await client.predict.$post({ json, header: {} }, { init });
    text = await response.text();
  } catch (error) {
    const { name, message, cause } = error as Error;
    if (name === "TimeoutError") throw new Error(`no response within ${timeoutMs / 1000} s`);
    // The error itself may say only "fetch failed".
    throw new TransientError(
      `connection failed: ${cause instanceof Error ? cause.message : message}`,
      CONNECTION_RETRIES,
    );
  }
  const latencyMs = performance.now() - started;

  const body = Body.safeParse(parseJson(text)).data;
  if (response.ok && body?.status === "ok") {
    return { png: decodePng(body.img_none_bg_base64), cache: cacheOf(response.headers), latencyMs, savedBytes: 0 };
  }
  const message = body?.status === "ng" && body.error
    ? `${body.error.code}: ${body.error.message}`
    : `unexpected response body (HTTP ${response.status})`;
  // The declared type lists only the statuses of the server, but a proxy may respond with others.
  const status: number = response.status;
  if (status === 503 || status === 429) {
    throw new TransientError(message, retries, retryAfterMs(response.headers));
  }
  throw new Error(message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Decodes a PNG, of which only the signature is checked. */
function decodePng(base64: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(base64);
  } catch {
    throw new Error("the cutout in the response is not base64");
  }
  if (!isPng(bytes)) throw new Error("the cutout in the response is not a PNG");
  return bytes;
}

function isPng(bytes: Uint8Array): boolean {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** Reads the server's `Cache-Status` (RFC 9211). */
function cacheOf(headers: Headers): Cutout["cache"] {
  const status = headers.get("Cache-Status") ?? "";
  if (/;\s*hit\b/.test(status)) return "hit";
  return /;\s*fwd=/.test(status) ? "miss" : undefined;
}

/** `Retry-After` is in seconds or an HTTP date (RFC 9110, section 10.2.3); undefined if it is missing or invalid. */
function retryAfterMs(headers: Headers): number | undefined {
  const value = headers.get("Retry-After")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // Date.parse alone would read an invalid value such as "1.5" as a date in the past, and thus as "at once".
  const date = value.endsWith("GMT") ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
