import type { ContentfulStatusCode } from "hono/utils/http-status";
import { toHttpError } from "../shared/errors.ts";
import { ParameterError } from "../shared/parameters.ts";

/** One entry of the list `errors` in a response. `code` is the one that remove.bg documents, if there is one. */
export interface Fault {
  readonly title: string;
  readonly code: string;
  readonly detail?: string;
}

/** Reports invalid parameters, all at once, each with a hint at what is valid. */
export function parameterError(...faults: readonly [Fault, ...Fault[]]): ParameterError<Fault> {
  return new ParameterError(faults, faults[0].detail ?? faults[0].title);
}

/** remove.bg's names for errors that all APIs share. */
const KNOWN: Readonly<Record<string, { status: ContentfulStatusCode; code: string; title: string }>> = {
  unauthorized: { status: 403, code: "auth_failed", title: "API key missing or invalid" },
  rate_limited: { status: 429, code: "rate_limit_exceeded", title: "Rate limit exceeded" },
  body_too_large: { status: 400, code: "file_too_large", title: "File too large" },
  image_too_large: { status: 400, code: "resolution_too_high", title: "Image resolution too high" },
  invalid_image: { status: 400, code: "failed_to_read_image", title: "The image cannot be read" },
  invalid_base64: { status: 400, code: "failed_to_read_image", title: "The image cannot be read" },
  unsupported_format: { status: 400, code: "invalid_file_type", title: "Invalid file type" },
  invalid_background: { status: 400, code: "invalid_bg_image_file", title: "The background image cannot be read" },
  roi_exceeds_bounds: { status: 400, code: "roi_exceeds_bounds", title: "ROI exceeds image bounds" },
  roi_region_empty: { status: 400, code: "roi_region_empty", title: "ROI region is empty" },
};

/** Statuses that remove.bg does not use: it responds with 400 instead. */
const UNUSED_STATUSES: ReadonlySet<number> = new Set([413, 415, 422]);

/** Any error in remove.bg's format, and the status that its clients expect. */
export function removebgError(
  error: unknown,
): { status: ContentfulStatusCode; headers: Record<string, string>; errors: readonly Fault[] } {
  const { status, code, message, headers } = toHttpError(error);
  if (error instanceof ParameterError) return { status: 400, headers, errors: error.faults };
  const known = KNOWN[code];
  if (known !== undefined) {
    return { status: known.status, headers, errors: [{ title: known.title, code: known.code, detail: message }] };
  }
  return { status: UNUSED_STATUSES.has(status) ? 400 : status, headers, errors: [{ title: message, code }] };
}
