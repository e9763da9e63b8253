import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { secureHeaders } from "hono/secure-headers";
import type { AppEnv } from "./job.ts";

/*
 * What browsers are told. Headers of a response that exists are changed in place: Hono's `c.header()` would make a stream
 * of its body, which halves the speed of memory hits; so does its `cors()`, which is left the preflights.
 */

/** What scripts of other origins may read beside the fields that they always may. */
const EXPOSED = [
  "Age",
  "Cache-Status",
  "Content-Disposition",
  "ETag",
  "Location",
  "RateLimit-Limit",
  "RateLimit-Policy",
  "RateLimit-Remaining",
  "RateLimit-Reset",
  "Retry-After",
  "Server-Timing",
  "X-Request-Id",
  // remove.bg's.
  "X-Credits-Charged",
  "X-Foreground-Height",
  "X-Foreground-Left",
  "X-Foreground-Top",
  "X-Foreground-Width",
  "X-Height",
  "X-Type",
  "X-Width",
];

/** How long a preflight is remembered, in seconds: the most that Chromium takes. */
const PREFLIGHT_SECONDS = 7200;

/** Lets pages of these origins ask (the Fetch standard's CORS protocol); with `*`, of all. Cookies have no meaning here. */
export function crossOrigin(origins: readonly string[]): MiddlewareHandler<AppEnv> {
  const all = origins.includes("*");
  const exposed = EXPOSED.join(", ");
  const preflight = cors({
    origin: all ? "*" : [...origins],
    allowMethods: ["GET", "HEAD", "POST", "DELETE"],
    maxAge: PREFLIGHT_SECONDS,
  });
  return async function crossOrigin(c, next) {
    if (c.req.method === "OPTIONS" && c.req.header("Access-Control-Request-Method") !== undefined) {
      return await preflight(c, next);
    }
    await next();
    const { headers } = c.res;
    if (!all) headers.append("Vary", "Origin");
    const origin = c.req.header("Origin");
    if (!all && (origin === undefined || !origins.includes(origin))) return;
    headers.set("Access-Control-Allow-Origin", all ? "*" : origin!);
    headers.set("Access-Control-Expose-Headers", exposed);
  };
}

/**
 * Nothing that is sent here runs, is framed or is sniffed; a page of ours says in its own `Content-Security-Policy` what
 * it needs. `Cross-Origin-Resource-Policy` knows no list of origins: with `embeddable`, any page may show the images.
 */
export function safeHeaders({ embeddable }: { embeddable: boolean }): MiddlewareHandler<AppEnv> {
  return secureHeaders({
    contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    crossOriginResourcePolicy: embeddable ? "cross-origin" : "same-origin",
    xFrameOptions: "DENY",
    // The business of whoever adds TLS, for the whole domain.
    strictTransportSecurity: false,
    // Of documents, and of browsers that are gone.
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    removePoweredBy: false,
    overwrite: false,
  });
}
