import type { Context } from "hono";
import { EngineError, errorCodes, ImageError, StoreUnavailableError, UnknownModelError } from "../../base/errors.ts";
import { HttpError } from "../../http/errors.ts";
import type { AppEnv } from "./context.ts";

/**
 * What the sender may know of any error: the one place where an error gets its status. Each dialect gives it its own
 * shape. What is nobody's business but the operator's becomes `internal_error`; see {@link isUnexpected}.
 */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof ImageError) return new HttpError(errorCodes[error.code].status, error.code, error.message);
  if (error instanceof UnknownModelError) return new HttpError(422, "unknown_model", error.message);
  if (error instanceof StoreUnavailableError) return new HttpError(503, "store_unavailable", error.message);
  if (error instanceof EngineError && error.code !== "worker_failed") {
    const headers = error.retryAfterSeconds === undefined ? undefined : { "Retry-After": `${error.retryAfterSeconds}` };
    return new HttpError(errorCodes[error.code].status, error.code, error.message, headers);
  }
  if (error instanceof DOMException && error.name === "AbortError") {
    return new HttpError(503, "client_gone", "the request was given up before it was served");
  }
  return new HttpError(
    500,
    "internal_error",
    "something went wrong here; the log has the details under the request_id",
  );
}

/** Whether the error is a fault of ours, to be logged in full. */
export function isUnexpected(error: unknown): boolean {
  return toHttpError(error).code === "internal_error";
}

/** The error as problem details (RFC 9457), for every route that has no dialect of its own. */
export function problem(c: Context<AppEnv>, error: unknown): Response {
  const { status, code, message: detail, headers } = toHttpError(error);
  const body = {
    type: `/docs#${code}`,
    title: errorCodes[code].title,
    status,
    detail,
    code,
    request_id: c.get("requestId"),
  };
  return c.body(JSON.stringify(body), status, { ...headers, "Content-Type": "application/problem+json" });
}

/** A handler for the methods that a route does not have: 405, and `Allow` (RFC 9110, section 15.5.6). */
export function allowOnly(...methods: string[]): () => never {
  return () => {
    throw new HttpError(405, "method_not_allowed", `use ${methods.join(" or ")}`, { Allow: methods.join(", ") });
  };
}
