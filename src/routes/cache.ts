import { type Context, Hono } from "hono";
import { partsOf } from "../cache/keys.ts";
import type { TieredStore } from "../cache/tiered.ts";
import { type SecretToken, tokenOf } from "../http/auth.ts";
import { HttpError } from "../http/errors.ts";
import type { AppEnv } from "../http/job.ts";
import { parseImageId } from "../http/parameters.ts";
import type { Predictor } from "../predictor.ts";

export interface CacheRouteOptions {
  cache: TieredStore;
  predictor: Predictor;
  /** Without one, everybody may read and nobody delete. */
  adminToken?: SecretToken;
}

const NEWEST = { fallback: 20, most: 1000 };

/** What the cache holds, for its operator: `GET /cache`, `DELETE /cache/{image}`, `DELETE /cache`. */
export function cacheRoute({ cache, predictor, adminToken }: CacheRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();

  route.use("/cache/*", async (c, next) => {
    c.header("Cache-Control", "no-store");
    requireAdmin(c, adminToken);
    await next();
  });

  route.get("/cache", async (c) => {
    const limit = parseLimit(c.req.query("limit"));
    const [tiers, newest] = await Promise.all([cache.statsByTier(), cache.list(limit)]);
    const { hits, masks, inferences, collapsed } = predictor.counts;
    const fromCache = Object.values(hits).reduce((sum, count) => sum + count, 0);
    const requests = fromCache + masks + inferences + collapsed;
    // Of the requests that the tiers before it could not answer.
    let left = requests;
    const withRatio = Object.entries(tiers).map(([tier, stats]) => {
      const count = hits[tier] ?? 0;
      const answer = { ...stats, hits: count, hit_ratio: ratio(count, left) };
      left -= count;
      return [tier, answer];
    });
    return c.json({
      store: cache.name,
      requests: {
        count: requests,
        hits: fromCache,
        masks,
        inferences,
        collapsed,
        hit_ratio: ratio(fromCache, requests),
      },
      tiers: Object.fromEntries(withRatio),
      newest: newest.map(({ key, contentType, bytes, created }) => {
        const { image, kind, modelVersion } = partsOf(key) ?? {};
        return {
          image,
          kind,
          model_version: modelVersion,
          content_type: contentType,
          bytes,
          created: new Date(created).toISOString(),
        };
      }),
    });
  });

  route.delete("/cache/:image", async (c) => {
    const image = parseImageId(c.req.param("image"));
    const deleted = await cache.deleteImage(image);
    c.var.logger.info("deleted {deleted} entries of {image}", { deleted, image });
    return c.json({ deleted });
  });

  route.delete("/cache", async (c) => {
    const deleted = await cache.clear();
    c.var.logger.info("deleted all {deleted} entries", { deleted });
    return c.json({ deleted });
  });

  route.all("/cache/*", (c) => {
    throw new HttpError(405, "method_not_allowed", `${c.req.method} is not understood here; use GET or DELETE`, {
      Allow: "GET, DELETE",
    });
  });

  return route;
}

/** @throws {HttpError} 401 or 403 where the request may not do what it asks for. */
function requireAdmin(c: Context<AppEnv>, adminToken: SecretToken | undefined): void {
  if (adminToken === undefined) {
    if (c.req.method === "GET" || c.req.method === "HEAD") return;
    throw new HttpError(403, "no_admin_token", "nobody may delete while no ADMIN_TOKEN is set; set one and send it");
  }
  if (adminToken.equals(tokenOf(c.req.raw.headers))) return;
  throw new HttpError(401, "unauthorized", "send ADMIN_TOKEN as Authorization: Bearer … or X-Api-Key", {
    "WWW-Authenticate": 'Bearer realm="cache"',
  });
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return NEWEST.fallback;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (limit <= NEWEST.most) return limit;
  throw new HttpError(422, "invalid_limit", `limit is ${JSON.stringify(text)}, not a number from 0 to ${NEWEST.most}`);
}

/** With three decimals; null where there is nothing to divide by. */
function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : Number((part / whole).toFixed(3));
}
