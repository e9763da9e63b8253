import { Hono } from "hono";
import { HttpError } from "../http/errors.ts";
import { cacheUseOf, matchesEtag, predictionHeaders } from "../http/headers.ts";
import type { AppEnv } from "../http/job.ts";
import { faultsOf, parseImageId } from "../http/parameters.ts";
import { defaultRenderOptions, type RenderOptions, renderOptionsSchema } from "../inference/render_options.ts";
import type { Predictor } from "../predictor.ts";

export interface CutoutsRouteOptions {
  predictor: Predictor;
  /** How long others may keep a cutout, in seconds. */
  maxAgeSeconds: number;
  /** Whether only some may have it; then a cache in between must not give it to others. */
  needsToken: boolean;
}

/**
 * `GET /cutouts/{SHA-256 of the image}?options`: what the cache has of an image, for clients that have the image's digest
 * and would rather not send the image. A cutout's address is its content, so whoever is in between may keep it.
 */
export function cutoutsRoute({ predictor, maxAgeSeconds, needsToken }: CutoutsRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const shared = needsToken ? "" : `, s-maxage=${maxAgeSeconds}`;
  const cacheControl = `${needsToken ? "private" : "public"}, max-age=${maxAgeSeconds}${shared}, immutable`;

  route.get("/cutouts/:image", async (c) => {
    const image = parseImageId(c.req.param("image"));
    const { model, render } = parseQuery(c.req.query());
    const cacheUse = cacheUseOf(c.req.header("Cache-Control"));
    const request = { model, render, logger: c.var.logger };
    const prediction = cacheUse === "bypass"
      ? undefined
      : await predictor.find(image, request, cacheUse === "refresh" ? "durable" : "all");
    if (prediction === undefined) {
      // Asked for again once the image has been posted, so nobody must remember this.
      throw new HttpError(404, "not_cached", "the cache has no such cutout; post the image to /predict", {
        "Cache-Control": "no-store",
        "Cache-Status": cacheUse === "bypass" ? "Cutcache; fwd=bypass" : "Cutcache; fwd=miss",
      });
    }
    const { entry } = prediction;
    const headers = { ...predictionHeaders(prediction), "Cache-Control": cacheControl };
    if (matchesEtag(c.req.header("If-None-Match"), entry.etag)) return c.body(null, 304, headers);
    return c.body(entry.bytes, 200, {
      ...headers,
      "Content-Type": entry.contentType,
      // Said here since an answer to HEAD has no body to count.
      "Content-Length": `${entry.bytes.length}`,
    });
  });

  route.all("/cutouts/:image", () => {
    throw new HttpError(405, "method_not_allowed", "use GET or HEAD", { Allow: "GET, HEAD" });
  });

  return route;
}

function parseQuery({ model, ...options }: Record<string, string>): { model?: string; render: RenderOptions } {
  if (Object.keys(options).length === 0) return { model, render: defaultRenderOptions };
  const parsed = renderOptionsSchema.safeParse(options);
  if (parsed.success) return { model, render: parsed.data };
  throw new HttpError(422, "invalid_options", faultsOf(parsed.error, "query"));
}
