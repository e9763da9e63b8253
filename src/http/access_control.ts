import type { Context, Hono, MiddlewareHandler } from "hono";
import { expandIPv6 } from "hono/utils/ipaddr";
import { addHeaders } from "../routes/shared/response.ts";
import { findToken, type SecretToken, tokenOf } from "./auth.ts";
import { HttpError } from "./errors.ts";
import type { AppEnv } from "../routes/shared/context.ts";
import type { RateLimiter, Verdict } from "./rate_limit.ts";

export interface AdmissionOptions {
  /** Those of the clients; while there is none, everybody is let in. */
  apiTokens: readonly SecretToken[];
  /** Opens everything that those of the clients open. */
  adminToken?: SecretToken;
  /** Without one, nobody is limited. */
  rateLimiter?: RateLimiter;
  /** How many proxies stand before the server whose `X-Forwarded-For` entries are believed. */
  trustedProxies: number;
}

/**
 * Lets a request in: first the rate limit, of the token it brings or else of its address, so that guessing tokens is
 * limited too; then the token.
 * @throws {HttpError} 401 `unauthorized` (RFC 6750, section 3), 429 `rate_limited` (RFC 6585, section 4).
 */
export function admission(options: AdmissionOptions): MiddlewareHandler<AppEnv> {
  const { apiTokens, adminToken, rateLimiter, trustedProxies } = options;
  const tokens = adminToken === undefined ? apiTokens : [...apiTokens, adminToken];

  return async function admission(c, next) {
    // Several patterns of a dialect may fit one path; the request counts once.
    if (c.get("admitted")) return await next();
    const token = findToken(tokens, tokenOf(c.req.raw.headers));
    if (rateLimiter !== undefined) {
      const client = token === undefined ? `address:${addressOf(c, trustedProxies)}` : `token:${token.id}`;
      limit(c, rateLimiter, await rateLimiter.take(client));
    }
    if (apiTokens.length > 0 && token === undefined) {
      throw new HttpError(401, "unauthorized", "send an API token as Authorization: Bearer … or X-Api-Key", {
        "WWW-Authenticate": 'Bearer realm="Cutcache"',
      });
    }
    c.set("admitted", true);
    await next();
  };
}

/**
 * Puts a guard before all routes of a dialect. It stands among the dialect's own routes, so that the dialect's `onError`
 * gives what it throws the dialect's shape: a guard of the application would be out of its sight.
 */
export function guarded<Dialect extends Hono<AppEnv>>(dialect: Dialect, guard: MiddlewareHandler<AppEnv>): Dialect {
  const routes = dialect.routes.splice(0);
  for (const path of new Set(routes.map(({ path }) => path))) dialect.use(path, guard);
  dialect.routes.push(...routes);
  return dialect;
}

/** Fields of draft-ietf-httpapi-ratelimit-headers-06, the last version with one field each; times in seconds. */
function limit(c: Context<AppEnv>, { rate }: RateLimiter, { allowed, remaining, resetMs, retryMs }: Verdict): void {
  const { requests } = rate;
  const windowSeconds = rate.windowMs / 1000;
  addHeaders(c, {
    "RateLimit-Limit": `${requests}`,
    "RateLimit-Remaining": `${remaining}`,
    "RateLimit-Reset": `${Math.ceil(resetMs / 1000)}`,
    "RateLimit-Policy": `${requests};w=${windowSeconds}`,
  });
  if (allowed) return;
  const seconds = Math.ceil(retryMs / 1000);
  const message = `more than ${requests} requests in ${windowSeconds} s; come again in ${seconds} s`;
  throw new HttpError(429, "rate_limited", message, { "Retry-After": `${seconds}` });
}

/** Of IPv6 the network of 64 bits, which one client has to itself (RFC 6177). */
function addressOf(c: Context<AppEnv>, trustedProxies: number): string {
  const address = clientAddress(c, trustedProxies);
  if (!address.includes(":") || !/^[0-9a-f:.]+$/i.test(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped ?? expandIPv6(address.toLowerCase()).slice(0, 19);
}

/**
 * Each proxy appends the address that it was asked from, so the entries are believed from the right, as many as there
 * are trusted proxies; what stands before them anybody may have written.
 */
function clientAddress(c: Context<AppEnv>, trustedProxies: number): string {
  const peer = c.env?.remoteAddr?.hostname ?? "unknown";
  if (trustedProxies === 0) return peer;
  const entries = (c.req.header("X-Forwarded-For") ?? "").split(",").map((entry) => entry.trim()).filter(Boolean);
  const hops = [...entries, peer];
  const claimed = hops[Math.max(0, hops.length - 1 - trustedProxies)];
  // Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
  return (/^\[([^\]]+)\](?::\d+)?$/.exec(claimed)?.[1] ?? claimed.replace(/^([\d.]+):\d+$/, "$1")).slice(0, 64);
}
