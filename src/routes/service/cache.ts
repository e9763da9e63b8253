import { type Context, Hono } from "hono";
import { z } from "zod";
import { partsOf } from "../../cache/keys.ts";
import type { TieredStore } from "../../cache/tiered.ts";
import type { CdnPurger } from "../shared/cdn.ts";
import { requireAdmin, type SecretToken } from "../../http/auth.ts";
import { allowOnly } from "../shared/errors.ts";
import { HttpError } from "../../http/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { admissionCodes, commonHeaders, describeRoute, problems, tokenSecurity } from "../shared/openapi.ts";
import { imageParameter, parseImageId } from "../shared/parameters.ts";
import type { CutoutService } from "../../cutouts/service.ts";

const NEWEST = { fallback: 20, most: 1000 };

const count = z.int().min(0);
const hitRatio = z.number().min(0).max(1).nullable().describe("Null where nothing has been asked for.");

const cacheSchema = z.object({
  store: z.string(),
  requests: z.object({
    count,
    hits: count,
    masks: count.describe("Answered with another rendering of a known mask."),
    inferences: count,
    collapsed: count.describe("Answered with what another request had made."),
    hit_ratio: hitRatio,
  }),
  tiers: z.record(
    z.string(),
    z.object({
      entries: count.optional(),
      bytes: count.optional(),
      error: z.string().optional().describe("Why the tier cannot be asked."),
      hits: count,
      hit_ratio: hitRatio,
    }),
  ),
  newest: z.array(z.object({
    image: z.string().optional(),
    kind: z.enum(["mask", "cutout"]).optional(),
    model_version: z.string().optional(),
    content_type: z.string(),
    bytes: count,
    created: z.iso.datetime(),
  })),
}).meta({ id: "Cache" });

const deletedSchema = z.object({
  deleted: count.describe("Entries, in all tiers together."),
  purged: z.boolean().describe("Whether a CDN in front has forgotten them as well."),
}).meta({ id: "Deleted" });

const headers = {
  ...commonHeaders,
  "Cache-Control": { required: true, schema: { const: "no-store" } },
};

export const cachePaths = [
  describeRoute({
    method: "get",
    path: "/cache",
    summary: "What the cache holds",
    description: "Behind `ADMIN_TOKEN`, where one is set.",
    tags: ["cache"],
    security: [...tokenSecurity, {}],
    request: {
      query: z.object({
        limit: z.coerce.number().int().min(0).max(NEWEST.most).default(NEWEST.fallback)
          .describe("How many of the newest entries are listed."),
      }),
    },
    responses: {
      200: {
        description: "Requests since the start, entries of each tier, and the newest entries of the durable one.",
        headers,
        content: { "application/json": { schema: cacheSchema } },
      },
      ...problems(...admissionCodes, "invalid_limit", "store_unavailable"),
    },
  }),
  describeRoute({
    method: "delete",
    path: "/cache/{image}",
    summary: "Removes all that was made of an image",
    tags: ["cache"],
    security: tokenSecurity,
    request: { params: imageParameter },
    responses: {
      200: { description: "It is gone.", headers, content: { "application/json": { schema: deletedSchema } } },
      ...problems(...admissionCodes, "invalid_digest", "no_admin_token", "store_unavailable"),
    },
  }),
  describeRoute({
    method: "delete",
    path: "/cache",
    summary: "Removes everything",
    tags: ["cache"],
    security: tokenSecurity,
    responses: {
      200: { description: "All is gone.", headers, content: { "application/json": { schema: deletedSchema } } },
      ...problems(...admissionCodes, "no_admin_token", "store_unavailable"),
    },
  }),
] as const;

export interface CacheRouteOptions {
  cache: TieredStore;
  cutouts: CutoutService;
  /** Without one, everybody may read and nobody delete. */
  adminToken?: SecretToken;
  cdn?: Pick<CdnPurger, "purge">;
}

/** What the cache holds, for its operator: `GET /cache`, `DELETE /cache/{image}`, `DELETE /cache`. */
export function cacheRoute({ cache, cutouts, adminToken, cdn }: CacheRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();

  route.use("/cache/*", async (c, next) => {
    c.header("Cache-Control", "no-store");
    admit(c, adminToken);
    await next();
  });

  route.get("/cache", async (c) => {
    const limit = parseLimit(c.req.query("limit"));
    const [tiers, newest] = await Promise.all([cache.statsByTier(), cache.list(limit)]);
    const { hits, masks, inferences, collapsed } = cutouts.counts;
    const fromCache = Object.values(hits).reduce((sum, count) => sum + count, 0);
    const requests = fromCache + masks + inferences + collapsed;
    // Of the requests that the tiers before it could not answer.
    let left = requests;
    const withRatio = Object.entries(tiers).map(([tier, stats]) => {
      const count = hits[tier] ?? 0;
      const told = { ...stats, hits: count, hit_ratio: ratio(count, left) };
      left -= count;
      return [tier, told];
    });
    const answer: z.infer<typeof cacheSchema> = {
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
    };
    return c.json(answer);
  });

  route.delete("/cache/:image", async (c) => {
    const image = parseImageId(c.req.param("image"));
    const deleted = await cache.deleteImage(image);
    c.get("logger").info("deleted {deleted} entries of {image}", { deleted, image });
    return c.json({ deleted, purged: await cdn?.purge(image) ?? false });
  });

  route.delete("/cache", async (c) => {
    const deleted = await cache.clear();
    c.get("logger").info("deleted all {deleted} entries", { deleted });
    return c.json({ deleted, purged: await cdn?.purge() ?? false });
  });

  route.all("/cache", allowOnly("GET", "HEAD", "DELETE"));
  route.all("/cache/:image", allowOnly("DELETE"));

  return route;
}

/** @throws {HttpError} 401 or 403 where the request may not do what it asks for. */
function admit(c: Context<AppEnv>, adminToken: SecretToken | undefined): void {
  if (adminToken === undefined) {
    if (c.req.method === "GET" || c.req.method === "HEAD") return;
    throw new HttpError(403, "no_admin_token", "nobody may delete while no ADMIN_TOKEN is set; set one and send it");
  }
  requireAdmin(c.req.raw.headers, adminToken);
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
