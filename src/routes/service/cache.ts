import { type Context, Hono } from "hono";
import { z } from "zod";
import { parseKey } from "../../cache/keys.ts";
import type { TieredStore } from "../../cache/tiered.ts";
import type { CdnPurger } from "../shared/cdn.ts";
import { requireAdmin, type SecretToken } from "../../http/auth.ts";
import { allowOnly } from "../shared/errors.ts";
import { HttpError } from "../../http/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { accessCodes, commonHeaders, describeRoute, problems, tokenSecurity } from "../shared/openapi.ts";
import { imageParameter, parseImageId } from "../shared/parameters.ts";
import type { CutoutService } from "../../cutouts/service.ts";

const NEWEST = { default: 20, max: 1000 };

const count = z.int().min(0);
const hitRatio = z.number().min(0).max(1).nullable().describe("Null before the first request.");

const cacheSchema = z.object({
  store: z.string(),
  requests: z.object({
    count,
    hits: count,
    cutouts: count.describe("Rendered from another cached cutout."),
    masks: count.describe("Rendered from a cached mask."),
    inferences: count,
    coalesced: count.describe("Served with the result of another request that was already running."),
    hit_ratio: hitRatio,
  }),
  tiers: z.record(
    z.string(),
    z.object({
      entries: count.optional(),
      bytes: count.optional(),
      error: z.string().optional().describe("Why the tier is unavailable."),
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
  deleted: count.describe("Entries in all tiers together."),
  purged: z.boolean().describe("Whether the CDN in front of the server was purged too."),
}).meta({ id: "Deleted" });

const headers = {
  ...commonHeaders,
  "Cache-Control": { required: true, schema: { const: "no-store" } },
};

export const cachePaths = [
  describeRoute({
    method: "get",
    path: "/cache",
    operationId: "listCache",
    summary: "The contents of the cache",
    description: "Requires `ADMIN_TOKEN`, if it is set.",
    tags: ["cache"],
    security: [...tokenSecurity, {}],
    request: {
      query: z.object({
        limit: z.coerce.number().int().min(0).max(NEWEST.max).default(NEWEST.default)
          .describe("How many of the newest entries to list."),
      }),
    },
    responses: {
      200: {
        description: "Requests since start, entries per tier, and the newest entries of the durable tier.",
        headers,
        content: { "application/json": { schema: cacheSchema } },
      },
      ...problems(...accessCodes, "invalid_limit", "store_unavailable"),
    },
  }),
  describeRoute({
    method: "delete",
    path: "/cache/{image}",
    operationId: "deleteFromCache",
    summary: "Deletes everything made from an image",
    description: "Deletes the mask and every cutout of the image in every tier, and purges the CDN.",
    tags: ["cache"],
    security: tokenSecurity,
    request: { params: imageParameter },
    responses: {
      200: { description: "Deleted.", headers, content: { "application/json": { schema: deletedSchema } } },
      ...problems(...accessCodes, "invalid_digest", "no_admin_token", "store_unavailable"),
    },
  }),
  describeRoute({
    method: "delete",
    path: "/cache",
    operationId: "clearCache",
    summary: "Deletes everything",
    description: "Deletes masks and cutouts of all images in every tier, and purges the CDN.",
    tags: ["cache"],
    security: tokenSecurity,
    responses: {
      200: { description: "Deleted.", headers, content: { "application/json": { schema: deletedSchema } } },
      ...problems(...accessCodes, "no_admin_token", "store_unavailable"),
    },
  }),
] as const;

export interface CacheRouteOptions {
  cache: TieredStore;
  cutouts: CutoutService;
  /** Without it, anyone may read and no one may delete. */
  adminToken?: SecretToken;
  cdn?: Pick<CdnPurger, "purge">;
}

/** The cache, for its operator: `GET /cache`, `DELETE /cache/{image}`, `DELETE /cache`. */
export function cacheRoute({ cache, cutouts, adminToken, cdn }: CacheRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();

  route.use("/cache/*", async (c, next) => {
    c.header("Cache-Control", "no-store");
    authorize(c, adminToken);
    await next();
  });

  route.get("/cache", async (c) => {
    const limit = parseLimit(c.req.query("limit"));
    const [tiers, newest] = await Promise.all([cache.statsByTier(), cache.list(limit)]);
    const { hits, cutouts: rendered, masks, inferences, coalesced } = cutouts.counts;
    const fromCache = Object.values(hits).reduce((sum, count) => sum + count, 0);
    const requests = fromCache + rendered + masks + inferences + coalesced;
    // A tier's ratio counts only the requests that the tiers before it could not serve.
    let remaining = requests;
    const withRatio = Object.entries(tiers).map(([tier, stats]) => {
      const count = hits[tier] ?? 0;
      const described = { ...stats, hits: count, hit_ratio: ratio(count, remaining) };
      remaining -= count;
      return [tier, described];
    });
    const body: z.infer<typeof cacheSchema> = {
      store: cache.name,
      requests: {
        count: requests,
        hits: fromCache,
        cutouts: rendered,
        masks,
        inferences,
        coalesced,
        hit_ratio: ratio(fromCache, requests),
      },
      tiers: Object.fromEntries(withRatio),
      newest: newest.map(({ key, contentType, bytes, created }) => {
        const { image, kind, modelVersion } = parseKey(key) ?? {};
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
    return c.json(body);
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

/** @throws {HttpError} 401 or 403 if the request is not authorized. */
function authorize(c: Context<AppEnv>, adminToken: SecretToken | undefined): void {
  if (adminToken === undefined) {
    if (c.req.method === "GET" || c.req.method === "HEAD") return;
    throw new HttpError(
      403,
      "no_admin_token",
      "deleting requires ADMIN_TOKEN; set it on this server, then send it as the token",
    );
  }
  requireAdmin(c.req.raw.headers, adminToken);
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return NEWEST.default;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (limit <= NEWEST.max) return limit;
  throw new HttpError(
    422,
    "invalid_limit",
    `limit must be a whole number from 0 to ${NEWEST.max}, not ${JSON.stringify(text)}`,
  );
}

/** With three decimals; null if there is nothing to divide by. */
function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : Number((part / whole).toFixed(3));
}
