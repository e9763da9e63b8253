import type { ContentfulStatusCode } from "hono/utils/http-status";
import { StoreUnavailableError } from "../cache/guard.ts";
import {
  EngineError,
  type EngineErrorCode,
  ImageError,
  type ImageErrorCode,
  UnknownModelError,
} from "../inference/errors.ts";

/** A request that cannot be served as it is; `message` says what was wrong and what would be right. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  constructor(
    readonly status: ContentfulStatusCode,
    readonly code: string,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

const imageStatus: Record<ImageErrorCode, ContentfulStatusCode> = {
  invalid_image: 400,
  image_too_large: 413,
  unsupported_format: 415,
  roi_exceeds_bounds: 422,
  roi_region_empty: 422,
  invalid_background: 422,
  background_missing: 422,
};

const engineStatus: Record<EngineErrorCode, ContentfulStatusCode> = {
  worker_failed: 500,
  queue_full: 503,
  closed: 503,
  deadline_exceeded: 504,
};

/**
 * What the sender may know of any error: the one place where an error gets its status. Each dialect gives it its own
 * shape. What is nobody's business but the operator's becomes `internal_error`; see {@link isUnexpected}.
 */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof ImageError) return new HttpError(imageStatus[error.code], error.code, error.message);
  if (error instanceof UnknownModelError) return new HttpError(422, "unknown_model", error.message);
  if (error instanceof StoreUnavailableError) return new HttpError(503, "store_unavailable", error.message);
  if (error instanceof EngineError && error.code !== "worker_failed") {
    const headers = error.retryAfterSeconds === undefined ? undefined : { "Retry-After": `${error.retryAfterSeconds}` };
    return new HttpError(engineStatus[error.code], error.code, error.message, headers);
  }
  if (error instanceof DOMException && error.name === "AbortError") {
    return new HttpError(503, "client_gone", "the request was given up before it was served");
  }
  return new HttpError(500, "internal_error", "something went wrong here; the log has the details under the job_id");
}

/** Whether the error is a fault of ours, to be logged in full. */
export function isUnexpected(error: unknown): boolean {
  return toHttpError(error).code === "internal_error";
}
