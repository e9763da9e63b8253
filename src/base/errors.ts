import type { ContentfulStatusCode } from "hono/utils/http-status";

/** Every error that a client can get: its status, and a title that holds for each occurrence (see `docs/errors.md`). */
export const errorCodes = {
  invalid_base64: { status: 400, title: "Invalid base64" },
  invalid_image: { status: 400, title: "Not an image, or a damaged image" },
  invalid_digest: { status: 400, title: "Invalid SHA-256 digest" },
  incomplete_body: { status: 400, title: "Incomplete request body" },
  unauthorized: { status: 401, title: "Missing or invalid token" },
  no_admin_token: { status: 403, title: "Deleting requires `ADMIN_TOKEN`, which is not set" },
  image_urls_off: { status: 403, title: "Fetching images by URL is disabled" },
  image_url_refused: { status: 403, title: "Image URL not allowed, for example because its address is not public" },
  not_found: { status: 404, title: "Not found" },
  not_cached: { status: 404, title: "No such cutout in the cache; post the image" },
  method_not_allowed: { status: 405, title: "Method not allowed; see `Allow`" },
  not_acceptable: { status: 406, title: "No format in `Accept` is supported" },
  body_timeout: { status: 408, title: "Request body took longer than `BODY_TIMEOUT_MS` to arrive" },
  body_too_large: { status: 413, title: "Request body is larger than `MAX_BODY_BYTES`" },
  image_too_large: { status: 413, title: "Image has more pixels than `MAX_PIXELS` or the server's memory allows" },
  image_url_too_large: { status: 413, title: "Image at the URL is larger than `MAX_BODY_BYTES`" },
  unsupported_content_type: { status: 415, title: "Unsupported `Content-Type`" },
  unsupported_encoding: { status: 415, title: "Unsupported `Content-Encoding`" },
  unsupported_format: { status: 415, title: "Unsupported image format" },
  invalid_image_url: { status: 422, title: "Invalid image URL" },
  no_image: { status: 422, title: "No image in the request" },
  several_images: { status: 422, title: "More than one image in the request" },
  invalid_background: { status: 422, title: "Background image cannot be decoded" },
  background_missing: { status: 422, title: "`background_image` names a file that was not sent" },
  roi_exceeds_bounds: { status: 422, title: "Region of interest extends beyond the image" },
  roi_region_empty: { status: 422, title: "Region of interest is empty" },
  invalid_json: { status: 422, title: "Request body is not JSON" },
  invalid_form: { status: 422, title: "Request body does not match its `Content-Type`" },
  invalid_request: { status: 422, title: "Missing or invalid field; the message names it" },
  invalid_options: { status: 422, title: "Unknown option or invalid value; the message names it" },
  invalid_limit: { status: 422, title: "Invalid `limit`" },
  unknown_model: { status: 422, title: "Unknown model; the message lists the available ones" },
  rate_limited: { status: 429, title: "More requests than `RATE_LIMIT` allows; `Retry-After` says when to retry" },
  internal_error: { status: 500, title: "Internal error; the log has details under the `request_id`" },
  image_url_failed: { status: 502, title: "Image could not be fetched from the URL" },
  queue_full: { status: 503, title: "Too many images are waiting; `Retry-After` says when to retry" },
  too_much_pending: { status: 503, title: "Too many uploads are pending; `Retry-After` says when to retry" },
  store_unavailable: { status: 503, title: "Durable store is unavailable" },
  client_gone: { status: 503, title: "Client disconnected before the response" },
  closed: { status: 503, title: "Server is shutting down" },
  deadline_exceeded: { status: 504, title: "Processing the image took longer than `INFERENCE_TIMEOUT_MS`" },
  image_url_timeout: { status: 504, title: "Fetching the image took longer than `IMAGE_URL_TIMEOUT_MS`" },
} as const satisfies Record<string, { status: ContentfulStatusCode; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** The HTTP status of an error. */
export type StatusOf<Code extends ErrorCode> = (typeof errorCodes)[Code]["status"];

/** Errors caused by the image that the client sent. */
export type ImageErrorCode =
  /** The bytes are not an image, or are a damaged one. */
  | "invalid_image"
  /** An image, but in a format that is not supported. */
  | "unsupported_format"
  /** More pixels than `MAX_PIXELS`. */
  | "image_too_large"
  /** The region of interest reaches beyond the image, or has no pixels. */
  | "roi_exceeds_bounds"
  | "roi_region_empty"
  /** The background image cannot be decoded, or the options name one that was not sent. */
  | "invalid_background"
  | "background_missing";

/** Codes about how the image was to be rendered: the image itself may be valid. */
export const RENDER_ERRORS: ReadonlySet<ImageErrorCode> = new Set([
  "roi_exceeds_bounds",
  "roi_region_empty",
  "invalid_background",
  "background_missing",
]);

/** The image is at fault; the message says why and may be shown to the client. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  constructor(readonly code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Errors of the engine. */
export type EngineErrorCode =
  /** The image took longer than `INFERENCE_TIMEOUT_MS`; its worker has been replaced. */
  | "deadline_exceeded"
  /** The worker threw, ran out of memory or exited; it has been replaced. */
  | "worker_failed"
  /** `QUEUE_LIMIT` images are waiting already. */
  | "queue_full"
  /** The engine is shutting down. */
  | "closed";

/** The engine is at fault, not the image. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(
    readonly code: EngineErrorCode,
    message: string,
    /** When to try again, in seconds, if that can be estimated. */
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The request named a model that this server does not have. */
export class UnknownModelError extends Error {
  override readonly name = "UnknownModelError";
  constructor(model: string, readonly known: string[]) {
    super(`unknown model ${JSON.stringify(model)}; this server has ${known.join(", ")}`);
  }
}

/** The durable store is unavailable; the cause has been logged. */
export class StoreUnavailableError extends Error {
  override readonly name: string = "StoreUnavailableError";
  /** @param retryAfterSeconds when the store may work again. */
  constructor(message: string, readonly retryAfterSeconds = 1) {
    super(message);
  }
}

/** A handler of errors that returns a value instead if the store is unavailable, and rethrows all others. */
export function ifUnavailable<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof StoreUnavailableError) return instead;
    throw error;
  };
}

/** The store is not asked, because it failed and has not recovered yet. */
export class StoreSkippedError extends StoreUnavailableError {
  override readonly name = "StoreSkippedError";
}

/** The store did not answer in time. Its answer may still come. */
export class LateAnswerError<T = unknown> extends StoreUnavailableError {
  override readonly name = "LateAnswerError";
  constructor(message: string, readonly answer: Promise<T>) {
    super(message);
    // Nobody needs to wait for it.
    answer.catch(() => {});
  }
}

/** The message of something that was thrown: JavaScript can throw any value, not only an `Error`. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
