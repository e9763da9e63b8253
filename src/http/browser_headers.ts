import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import type { HttpEnv } from "./response_headers.ts";

/*
 * Headers for browsers. Those of a finished response are changed in place: Hono's `c.header()` would turn its body into a
 * stream, which halves the speed of memory hits. Its `cors()` does so too, so it handles preflights only.
 */

/** Fields that scripts from other origins may read, in addition to those that are always readable. */
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
  // Fields of remove.bg's API.
  "X-Credits-Charged",
  "X-Foreground-Height",
  "X-Foreground-Left",
  "X-Foreground-Top",
  "X-Foreground-Width",
  "X-Height",
  "X-Type",
  "X-Width",
];

/** How long a preflight is cached, in seconds: Chromium's maximum. */
const PREFLIGHT_SECONDS = 7200;

/**
 * Allows pages from these origins to call the API (CORS protocol of the Fetch standard); `*` allows all. Cookies are not
 * used.
 */
export function crossOrigin(origins: readonly string[]): MiddlewareHandler<HttpEnv> {
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
 * Forbids browsers to run, frame or sniff a response. Our own pages set the `Content-Security-Policy` that they need.
 * `Cross-Origin-Resource-Policy` cannot list origins: with `embeddable`, any page may show the images.
 *
 * Hono's `secureHeaders()` would inspect the headers of every response; repeated responses already have these fields
 * (see `completeHeaders`). `Strict-Transport-Security` is left to the proxy that adds TLS, since it
 * holds for the whole domain.
 */
export function secureHeaders({ embeddable }: { embeddable: boolean }): MiddlewareHandler<HttpEnv> {
  const headers = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": embeddable ? "cross-origin" : "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
  };
  return function secureHeaders(c, next) {
    c.set("commonHeaders", headers);
    return next();
  };
}
