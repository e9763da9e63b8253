import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import type { AppEnv } from "../routes/shared/context.ts";

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
 *
 * Set aside (see `answer.ts`), not by Hono's `secureHeaders()`, which looks into the headers of every response
 * that was made: answers that are sent again and again have them already. `Strict-Transport-Security` is the business of
 * whoever adds TLS, for the whole domain.
 */
export function safeHeaders({ embeddable }: { embeddable: boolean }): MiddlewareHandler<AppEnv> {
  const headers = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": embeddable ? "cross-origin" : "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
  };
  return function safeHeaders(c, next) {
    c.set("commonHeaders", headers);
    return next();
  };
}
