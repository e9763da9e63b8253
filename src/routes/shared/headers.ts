import type { Context } from "hono";
import type { Entry } from "../../cache/store.ts";
import type { CacheUse, CutoutResult, PredictRequest } from "../../cutouts/service.ts";
import type { AppEnv } from "./context.ts";

/** How a cutout was come by and how long it may be kept; `Cache-Control` is each route's own. */
export function predictionHeaders(prediction: CutoutResult, now = Date.now()): Record<string, string> {
  const { entry } = prediction;
  return {
    "ETag": `"${entry.etag}"`,
    "Age": ageOf(entry, now),
    "Cache-Status": cacheStatus(prediction),
    "Server-Timing": serverTiming(prediction),
  };
}

/** RFC 9111, section 5.1: a whole number of seconds. */
export function ageOf({ created }: Entry, now = Date.now()): string {
  return `${Math.max(0, Math.floor((now - created) / 1000))}`;
}

/** W3C Server Timing, in milliseconds. */
export function serverTiming({ timings }: CutoutResult): string {
  let stages = "";
  for (const stage in timings) {
    stages += `${stages && ", "}${stage};dur=${timings[stage as keyof typeof timings]!.toFixed(2)}`;
  }
  return stages;
}

/** RFC 9211. `detail` names the tier of a hit, or what a miss cost: `mask` (a rendering) or `inference`. */
export function cacheStatus({ key, source, collapsed, cacheUse }: CutoutResult): string {
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

/** What the cutouts is told of a request, in whichever dialect it came. */
export function requestContext(
  c: Context<AppEnv>,
): Pick<PredictRequest, "cacheUse" | "requestId" | "signal" | "waitUntil" | "logger"> {
  return {
    cacheUse: cacheUseOf(c.req.header("Cache-Control")),
    requestId: c.get("requestId"),
    signal: c.req.raw.signal,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
    logger: c.get("logger"),
  };
}

/** What a request's `Cache-Control` field asks for (RFC 9111, section 5.2.1). */
export function cacheUseOf(cacheControl: string | undefined): CacheUse {
  const directives = cacheControl?.split(",").map((directive) => directive.split("=")[0].trim().toLowerCase());
  if (directives?.includes("no-store")) return "bypass";
  return directives?.includes("no-cache") ? "refresh" : "default";
}
