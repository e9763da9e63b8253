import type { Context } from "hono";
import { EngineError, errorCodes, ImageError, StoreUnavailableError, UnknownModelError } from "../../base/errors.ts";
import { HttpError } from "../../http/errors.ts";
import type { AppEnv } from "./context.ts";

/**
 * The part of any error that the client may see. This is the only place where an error gets its status; each API formats
 * the result in its own way. Errors that only the operator may see become `internal_error`; see {@link isUnexpected}.
 */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof ImageError) return new HttpError(errorCodes[error.code].status, error.code, error.message);
  if (error instanceof UnknownModelError) return new HttpError(422, "unknown_model", error.message);
  if (error instanceof StoreUnavailableError) {
    const headers = { "Retry-After": `${error.retryAfterSeconds}` };
    return new HttpError(503, "store_unavailable", error.message, headers);
  }
  if (error instanceof EngineError && error.code !== "worker_failed") {
    const headers = error.retryAfterSeconds === undefined ? undefined : { "Retry-After": `${error.retryAfterSeconds}` };
    return new HttpError(errorCodes[error.code].status, error.code, error.message, headers);
  }
  if (error instanceof DOMException && error.name === "AbortError") {
    return new HttpError(503, "client_gone", "the client disconnected before the response");
  }
  return new HttpError(500, "internal_error", "something went wrong on the server; its log has the details");
}

/** Whether the error is the server's own fault, to be logged in full. */
export function isUnexpected(error: unknown): boolean {
  return toHttpError(error).code === "internal_error";
}

/** Logs an unexpected error with everything that the client must not see. */
export function logUnexpected(c: Context<AppEnv>, error: unknown): void {
  if (!isUnexpected(error)) return;
  c.get("logger").error("unexpected failure: {error}", {
    error: error instanceof Error ? error.stack ?? error.message : String(error),
  });
}

/** The error as problem details (RFC 9457), for routes without an error format of their own. */
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

/** A handler for methods that a route does not support: 405 and `Allow` (RFC 9110, section 15.5.6). */
export function allowOnly(...methods: string[]): () => never {
  return () => {
    throw new HttpError(405, "method_not_allowed", `use ${methods.join(" or ")}`, { Allow: methods.join(", ") });
  };
}
