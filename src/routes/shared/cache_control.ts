import { splitList } from "../../base/comma_list.ts";
import type { CacheUse, CutoutResult } from "../../cutouts/request.ts";

/** The cache use that a request's `Cache-Control` field asks for (RFC 9111, section 5.2.1). */
export function cacheUseOf(cacheControl: string | undefined): CacheUse {
  const directives = splitList(cacheControl ?? "").map((directive) => directive.split("=")[0].trim().toLowerCase());
  if (directives.includes("no-store")) return "bypass";
  return directives.includes("no-cache") ? "refresh" : "default";
}

/** Whether `If-None-Match` names this entity tag, by weak comparison (RFC 9110, section 13.1.2). */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return splitList(ifNoneMatch).some((tag) => tag === "*" || tag.replace(/^W\//, "") === `"${etag}"`);
}

/**
 * `Cache-Status` (RFC 9211). `detail` names the tier of a hit, or the work that a miss took: `cutout`, `mask` (rendering only) or
 * `inference`. `collapsed` is the RFC's word for a coalesced request.
 */
export function cacheStatus({ key, source, coalesced, cacheUse }: CutoutResult): string {
  const forward = { default: "miss", refresh: "request", bypass: "bypass" }[cacheUse];
  const stored = coalesced ? "; collapsed" : cacheUse === "bypass" ? "" : "; stored";
  const status = ["cutout", "mask", "inference"].includes(source) ? `fwd=${forward}${stored}` : "hit";
  return `Cutcache; ${status}; detail=${source}; key="${key}"`;
}
