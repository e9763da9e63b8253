import { hc } from "hono/client";
import { z } from "zod";
import type { AppType } from "../../src/app.ts";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
/** A server that refuses or resets is mostly not there: it gets fewer tries than one that asks for patience. */
const CONNECTION_RETRIES = 2;
const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const Answer = z.discriminatedUnion("status", [
  z.object({ status: z.literal("ok"), img_none_bg_base64: z.string() }),
  z.object({ status: z.literal("ng"), error: z.object({ code: z.string(), message: z.string() }).nullish() }),
]);

/** Where and how patiently to ask. */
export interface PredictOptions {
  /** The server's address. */
  url: string;
  /** One of the server's `API_TOKENS`. */
  token?: string;
  /** Whether the server is asked by an image's digest first, so that no image is sent that it knows. */
  askByDigest: boolean;
  /** How long one try may take, its answer's body included. */
  timeoutMs: number;
  /** How often a 503 or 429 is tried again after the first try. */
  retries: number;
  /** When aborted, nothing is waited for and nothing new is tried; a request under way is left to end. */
  stop?: AbortSignal;
}

/** What the outside world does for {@link predict}; a test may pass its own. */
export interface PredictDeps {
  fetch: typeof fetch;
  /** Resolves after `ms`, rejects as soon as `stop` is aborted. */
  sleep: (ms: number, stop?: AbortSignal) => Promise<unknown>;
}

export interface Cutout {
  png: Uint8Array;
  /** Undefined when the server does not say. */
  cache?: "hit" | "miss";
  /** The time of the try that succeeded, without failed tries and waits. */
  latencyMs: number;
  /** Bytes of the body that did not have to be sent, since the server knew the image by its digest. */
  savedBytes: number;
}

type Client = ReturnType<typeof hc<AppType>>;
type PredictBody = Parameters<Client["predict"]["$post"]>[0]["json"];

/** A failure that may pass by itself. */
class PassingError extends Error {
  constructor(message: string, readonly retries: number, readonly waitMs?: number) {
    super(message);
  }
}

/**
 * Asks the server for the cutout of one image. A 503 or 429 is tried again after its `Retry-After`, or else after 1 s,
 * 2 s, 4 s…; a failed connection likewise, but at most twice. No wait is longer than 60 s.
 *
 * @throws {Error} whose message says what the server, or the way to it, did wrong
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
  const known = options.askByDigest && await askByDigest(client, name, image, options.timeoutMs);
  if (known) return known;
  const body = { file_path: name, img_base64: image.toBase64() };
  for (let tries = 1;; tries++) {
    try {
      return await ask(client, body, options);
    } catch (error) {
      if (!(error instanceof PassingError) || tries > Math.min(error.retries, options.retries)) throw error;
      const waitMs = Math.min(error.waitMs ?? FIRST_WAIT_MS * 2 ** (tries - 1), LONGEST_WAIT_MS);
      await deps.sleep(waitMs, options.stop).catch(() => {
        throw error;
      });
    }
  }
}

/** What the server has of the image; undefined where it has nothing, or does not answer: then the image is sent. */
async function askByDigest(
  client: Client,
  name: string,
  image: Uint8Array<ArrayBuffer>,
  timeoutMs: number,
): Promise<Cutout | undefined> {
  const started = performance.now();
  try {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", image)).toHex();
    const init = { signal: AbortSignal.timeout(timeoutMs) };
    const response = await client.cutouts[":image"].$get({ param: { image: digest }, query: {}, header: {} }, { init });
    const png = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200 || !isPng(png)) return undefined;
    const savedBytes = bodyLength(name, image);
    return { png, cache: cacheOf(response.headers), latencyMs: performance.now() - started, savedBytes };
  } catch {
    // Whatever is the matter, sending the image will tell.
    return undefined;
  }
}

/** The length of the body that {@link predict} would send, in bytes. */
function bodyLength(name: string, image: Uint8Array): number {
  const frame = new TextEncoder().encode(JSON.stringify({ file_path: name, img_base64: "" })).length;
  return frame + Math.ceil(image.length / 3) * 4;
}

async function ask(client: Client, json: PredictBody, { timeoutMs, retries }: PredictOptions): Promise<Cutout> {
  const started = performance.now();
  let response: Awaited<ReturnType<Client["predict"]["$post"]>>;
  let text: string;
  try {
    const init = { signal: AbortSignal.timeout(timeoutMs) };
    response = await client.predict.$post({ json, header: {} }, { init });
    text = await response.text();
  } catch (error) {
    const { name, message, cause } = error as Error;
    if (name === "TimeoutError") throw new Error(`no answer within ${timeoutMs / 1000} s`);
    // The error itself may only say "fetch failed".
    throw new PassingError(
      `connection failed: ${cause instanceof Error ? cause.message : message}`,
      CONNECTION_RETRIES,
    );
  }
  const latencyMs = performance.now() - started;

  const answer = Answer.safeParse(parseJson(text)).data;
  if (response.ok && answer?.status === "ok") {
    return { png: decodePng(answer.img_none_bg_base64), cache: cacheOf(response.headers), latencyMs, savedBytes: 0 };
  }
  const message = answer?.status === "ng" && answer.error
    ? `${answer.error.code}: ${answer.error.message}`
    : `HTTP ${response.status} without an answer in the form expected`;
  // Of a type that knows no others, though somebody in between may answer what the server never does.
  const status: number = response.status;
  if (status === 503 || status === 429) {
    throw new PassingError(message, retries, retryAfterMs(response.headers));
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

/** The signature is checked so that what is written as `.png` is at least meant as one. */
function decodePng(base64: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(base64);
  } catch {
    throw new Error("the answer's image is not base64");
  }
  if (!isPng(bytes)) throw new Error("the answer's image is not a PNG");
  return bytes;
}

function isPng(bytes: Uint8Array): boolean {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/** The one place that knows how the server tells a hit from a miss: `Cache-Status` (RFC 9211). */
function cacheOf(headers: Headers): Cutout["cache"] {
  const status = headers.get("Cache-Status") ?? "";
  if (/;\s*hit\b/.test(status)) return "hit";
  return /;\s*fwd=/.test(status) ? "miss" : undefined;
}

/** `Retry-After` is seconds or an HTTP-date (RFC 9110, 10.2.3); undefined when absent or neither. */
function retryAfterMs(headers: Headers): number | undefined {
  const value = headers.get("Retry-After")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // Date.parse alone would take nonsense like "1.5" for a day long past, and so for "at once".
  const date = value.endsWith("GMT") ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
