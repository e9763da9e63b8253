import type { Context, Env, Hono, MiddlewareHandler } from "hono";
import { expandIPv6 } from "hono/utils/ipaddr";
import { splitList } from "../base/comma_list.ts";
import { findToken, type SecretToken, tokenOf } from "./auth.ts";
import { HttpError } from "./errors.ts";
import type { RateLimiter, Verdict } from "./rate_limit.ts";
import { addHeaders, type HttpEnv } from "./response_headers.ts";

export interface AccessControlOptions {
  /** Tokens of clients. If the list is empty, no token is needed. */
  apiTokens: readonly SecretToken[];
  /** Also grants everything that clients' tokens grant. */
  adminToken?: SecretToken;
  /** Without it, nobody is limited. */
  rateLimiter?: RateLimiter;
  /** Whether each token has cache entries of its own. Default: false. */
  scopeByToken?: boolean;
  /** The number of proxies in front of the server whose `X-Forwarded-For` entries are trusted. */
  trustedProxies: number;
}

/**
 * Checks the rate limit, then the token. The limit counts by token, or by address if the token is missing or invalid, so
 * that guessing tokens is limited too.
 * @throws {HttpError} 401 `unauthorized` (RFC 6750, section 3), 429 `rate_limited` (RFC 6585, section 4).
 */
export function accessControl(options: AccessControlOptions): MiddlewareHandler<HttpEnv> {
  const { apiTokens, adminToken, rateLimiter, scopeByToken = false, trustedProxies } = options;
  const tokens = adminToken === undefined ? apiTokens : [...apiTokens, adminToken];

  return async function accessControl(c, next) {
    // Several patterns of an API may match one path. The request counts only once.
    if (c.get("admitted")) return await next();
    const token = findToken(tokens, tokenOf(c.req.raw.headers));
    if (rateLimiter !== undefined) {
      const client = token === undefined ? `address:${clientNetwork(c, trustedProxies)}` : `token:${token.id}`;
      applyVerdict(c, rateLimiter, await rateLimiter.take(client));
    }
    if (apiTokens.length > 0 && token === undefined) {
      throw new HttpError(401, "unauthorized", "send an API token as Authorization: Bearer … or X-Api-Key", {
        "WWW-Authenticate": 'Bearer realm="Cutcache"',
      });
    }
    c.set("admitted", true);
    if (scopeByToken) c.set("cacheScope", token?.id);
    await next();
  };
}

/**
 * Runs a guard before all routes of an API. The guard becomes one of the API's own routes, so that the API's `onError`
 * formats its errors. It could not catch errors of a guard on the application.
 */
export function withGuard<E extends Env>(api: Hono<E>, guard: MiddlewareHandler<HttpEnv>): Hono<E> {
  const routes = api.routes.splice(0);
  for (const path of new Set(routes.map(({ path }) => path))) api.use(path, guard);
  api.routes.push(...routes);
  return api;
}

/** Sets the fields of draft-ietf-httpapi-ratelimit-headers-06, the last version with one field each; times in seconds. */
function applyVerdict(
  c: Context<HttpEnv>,
  { rate }: RateLimiter,
  { allowed, remaining, resetMs, retryMs }: Verdict,
): void {
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
  const message = `more than ${requests} requests in ${windowSeconds} s; retry in ${seconds} s`;
  throw new HttpError(429, "rate_limited", message, { "Retry-After": `${seconds}` });
}

/** The client's address; for IPv6 its /64 network, which belongs to one client (RFC 6177). */
function clientNetwork(c: Context<HttpEnv>, trustedProxies: number): string {
  const address = clientAddress(c, trustedProxies);
  if (!address.includes(":") || !/^[0-9a-f:.]+$/i.test(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped ?? expandIPv6(address.toLowerCase()).slice(0, 19);
}

/**
 * Each proxy appends the address of its peer. So entries are trusted from the right, one for each trusted proxy; a client
 * can forge the others.
 */
function clientAddress(c: Context<HttpEnv>, trustedProxies: number): string {
  const peer = c.env?.remoteAddr?.hostname ?? "unknown";
  if (trustedProxies === 0) return peer;
  const hops = [...splitList(c.req.header("X-Forwarded-For") ?? ""), peer];
  const claimed = hops[Math.max(0, hops.length - 1 - trustedProxies)];
  // Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
  return (/^\[([^\]]+)\](?::\d+)?$/.exec(claimed)?.[1] ?? claimed.replace(/^([\d.]+):\d+$/, "$1")).slice(0, 64);
}
