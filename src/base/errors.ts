import type { ContentfulStatusCode } from "hono/utils/http-status";

/**
 * Every error that a sender may be told of: its status and, in words that hold for each of its occurrences, when it is
 * sent. The README's table is made of this (a test compares the two).
 */
export const errorCodes = {
  invalid_base64: { status: 400, title: "The image is not base64" },
  invalid_image: { status: 400, title: "The bytes are no image, or a damaged one" },
  invalid_digest: { status: 400, title: "The address names no SHA-256 digest" },
  incomplete_body: { status: 400, title: "The body ended before its end" },
  unauthorized: { status: 401, title: "The request has no token, or another one" },
  no_admin_token: { status: 403, title: "Nobody may delete while no `ADMIN_TOKEN` is set" },
  image_urls_off: { status: 403, title: "This server fetches no images from URLs" },
  image_url_refused: { status: 403, title: "An address that nothing is fetched from, such as one that is not public" },
  not_found: { status: 404, title: "There is nothing at this address" },
  not_cached: { status: 404, title: "The cache has no such cutout; post the image" },
  method_not_allowed: { status: 405, title: "Another method than the address takes; `Allow` lists them" },
  not_acceptable: { status: 406, title: "`Accept` names no format that a cutout can have" },
  body_timeout: { status: 408, title: "The body took longer than `BODY_TIMEOUT_MS` to arrive" },
  body_too_large: { status: 413, title: "The body is over `MAX_BODY_BYTES`" },
  image_too_large: { status: 413, title: "The image is over `MAX_PIXELS`, as its header says, before it is decoded" },
  image_url_too_large: { status: 413, title: "What is at `image_url` is over `MAX_BODY_BYTES`" },
  unsupported_content_type: { status: 415, title: "The body is of another content type than the address takes" },
  unsupported_format: { status: 415, title: "An image of a format that is not decoded here" },
  invalid_image_url: { status: 422, title: "`image_url` is no address that can be fetched" },
  no_image: { status: 422, title: "The request brings no image" },
  several_images: { status: 422, title: "The request brings more than one image" },
  invalid_background: { status: 422, title: "The background picture cannot be decoded" },
  background_missing: { status: 422, title: "`background_image` names a picture that did not come with the request" },
  roi_exceeds_bounds: { status: 422, title: "The region lies outside of the image" },
  roi_region_empty: { status: 422, title: "The region has no pixels" },
  invalid_json: { status: 422, title: "The body is not JSON" },
  invalid_form: { status: 422, title: "The body is not the form that its `Content-Type` announces" },
  invalid_request: { status: 422, title: "A field is missing or of another type; the message names it" },
  invalid_options: { status: 422, title: "An option that is unknown, or has a value that it cannot have" },
  invalid_limit: { status: 422, title: "`limit` is not a number that may be asked for" },
  unknown_model: { status: 422, title: "There is no such model here; the message lists those there are" },
  rate_limited: { status: 429, title: "Over `RATE_LIMIT`; `Retry-After` says when to come back" },
  internal_error: { status: 500, title: "Our fault; the log has the rest under the `request_id`" },
  image_url_failed: { status: 502, title: "What is at `image_url` could not be fetched" },
  queue_full: { status: 503, title: "Too many images wait: `Retry-After` says when to come back" },
  too_much_pending: { status: 503, title: "Too many bytes of images wait: `Retry-After` says when to come back" },
  store_unavailable: { status: 503, title: "The durable store does not answer, and has to" },
  client_gone: { status: 503, title: "The request was given up before it was served" },
  closed: { status: 503, title: "The server is shutting down" },
  deadline_exceeded: { status: 504, title: "The job took longer than `INFERENCE_TIMEOUT_MS`" },
  image_url_timeout: { status: 504, title: "What is at `image_url` took longer than `IMAGE_URL_TIMEOUT_MS`" },
} as const satisfies Record<string, { status: ContentfulStatusCode; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** The status that an error is answered with. */
export type StatusOf<Code extends ErrorCode> = (typeof errorCodes)[Code]["status"];

/** What can be wrong with an image that somebody sent. */
export type ImageErrorCode =
  /** The bytes are no image, or a damaged one. */
  | "invalid_image"
  /** An image, but of a format that is not decoded here. */
  | "unsupported_format"
  /** More pixels than `MAX_PIXELS`. */
  | "image_too_large"
  /** The region of interest reaches beyond the image, or has no pixels in it. */
  | "roi_exceeds_bounds"
  | "roi_region_empty"
  /** The background picture is not one that can be decoded, or the options name one that did not come with them. */
  | "invalid_background"
  | "background_missing";

/** Codes that tell of how the image was to be rendered: the image itself may be all right. */
export const RENDER_ERRORS: ReadonlySet<ImageErrorCode> = new Set([
  "roi_exceeds_bounds",
  "roi_region_empty",
  "invalid_background",
  "background_missing",
]);

/** The image is at fault; the message says how and may be shown to the sender. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  constructor(readonly code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** What can be wrong with the engine. */
export type EngineErrorCode =
  /** The job took longer than `INFERENCE_TIMEOUT_MS`; its worker has been replaced. */
  | "deadline_exceeded"
  /** The worker threw, ran out of memory or exited; it has been replaced. */
  | "worker_failed"
  /** As many jobs wait as may. */
  | "queue_full"
  /** The engine is shutting down. */
  | "closed";

/** The engine is at fault, not the image. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(
    readonly code: EngineErrorCode,
    message: string,
    /** When to try again, in seconds, where that can be estimated. */
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A request named a model that is not served here. */
export class UnknownModelError extends Error {
  override readonly name = "UnknownModelError";
  constructor(model: string, readonly known: string[]) {
    super(`there is no model ${JSON.stringify(model)}; the models here are ${known.join(", ")}`);
  }
}

/** The durable store cannot be reached; the cause has been logged. */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
}

/** The message of something that was thrown: JavaScript can throw any value, not only an `Error`. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The README's table of errors, in Markdown. */
export function errorsTable(): string {
  const rows = Object.entries(errorCodes).map(([code, { status, title }]) => `| ${status} | \`${code}\` | ${title} |`);
  return ["| status | `code` | when |", "| --- | --- | --- |", ...rows].join("\n");
}
