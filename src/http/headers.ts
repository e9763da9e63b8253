import type { Context } from "hono";
import type { CacheUse, Prediction, PredictRequest } from "../predictor.ts";
import type { AppEnv } from "./job.ts";

/** How a cutout was come by and how long it may be kept; `Cache-Control` is each route's own. */
export function predictionHeaders(prediction: Prediction, now = Date.now()): Record<string, string> {
  const { entry, timings } = prediction;
  const stages = Object.entries(timings).map(([stage, milliseconds]) => `${stage};dur=${milliseconds.toFixed(2)}`);
  return {
    "ETag": `"${entry.etag}"`,
    // RFC 9111, section 5.1: a whole number of seconds.
    "Age": `${Math.max(0, Math.floor((now - entry.created) / 1000))}`,
    "Cache-Status": cacheStatus(prediction),
    // W3C Server Timing, in milliseconds.
    "Server-Timing": stages.join(", "),
  };
}

/** RFC 9211. `detail` names the tier of a hit, or what a miss cost: `mask` (a rendering) or `inference`. */
function cacheStatus({ key, source, collapsed, cacheUse }: Prediction): string {
  const made = source === "mask" || source === "inference";
  const forward = { default: "miss", refresh: "request", bypass: "bypass" }[cacheUse];
  const how = !made ? "hit" : `fwd=${forward}${collapsed ? "; collapsed" : cacheUse === "bypass" ? "" : "; stored"}`;
  return `Cutcache; ${how}; detail=${source}; key="${key}"`;
}

/** Whether `If-None-Match` names this entity tag; weakly compared (RFC 9110, section 13.1.2). */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === "*" ||
    ifNoneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === `"${etag}"`);
}

/** What the predictor is told of a request, in whichever dialect it came. */
export function requestContext(
  c: Context<AppEnv>,
): Pick<PredictRequest, "cacheUse" | "signal" | "waitUntil" | "logger"> {
  return {
    cacheUse: cacheUseOf(c.req.header("Cache-Control")),
    signal: c.req.raw.signal,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
    logger: c.var.logger,
  };
}

/** What a request's `Cache-Control` field asks for (RFC 9111, section 5.2.1). */
export function cacheUseOf(cacheControl: string | undefined): CacheUse {
  const directives = cacheControl?.split(",").map((directive) => directive.split("=")[0].trim().toLowerCase());
  if (directives?.includes("no-store")) return "bypass";
  return directives?.includes("no-cache") ? "refresh" : "default";
}
