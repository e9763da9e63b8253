import { Hono } from "hono";
import { z } from "zod";
import { HttpError } from "../http/errors.ts";
import { cacheUseOf, matchesEtag, predictionHeaders } from "../http/headers.ts";
import type { AppEnv } from "../http/job.ts";
import { cacheControlParameter, describeRoute, predictionHeadersDescribed, problems } from "../http/openapi.ts";
import { faultsOf, imageParameter, parseImageId } from "../http/parameters.ts";
import { defaultRenderOptions, type RenderOptions, renderOptionsSchema } from "../inference/render_options.ts";
import type { Predictor } from "../predictor.ts";

export interface CutoutsRouteOptions {
  predictor: Predictor;
  /** How long others may keep a cutout, in seconds. */
  maxAgeSeconds: number;
}

/**
 * `GET /cutouts/{SHA-256 of the image}?options`: what the cache has of an image, for clients that have the image's digest
 * and would rather not send the image. A cutout's address is its content, so whoever is in between may keep it.
 */
export function cutoutsRoute({ predictor, maxAgeSeconds }: CutoutsRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const cacheControl = `public, max-age=${maxAgeSeconds}, s-maxage=${maxAgeSeconds}, immutable`;

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

const file = { schema: { type: "string", format: "binary" } } as const;

export const cutoutsPaths = [
  describeRoute({
    method: "get",
    path: "/cutouts/{image}",
    summary: "What the cache has of an image",
    description: "For clients that have the image's digest and would rather not send the image.",
    tags: ["cutouts"],
    request: {
      params: imageParameter,
      query: renderOptionsSchema.in.extend({
        model: z.string().optional().describe("One of the models that `GET /metadata` lists."),
      }),
      headers: cacheControlParameter.extend({
        "If-None-Match": z.string().optional().describe("Entity tags of cutouts that the client has."),
      }),
    },
    responses: {
      200: {
        description: "The cutout, for everybody to keep.",
        headers: predictionHeadersDescribed,
        content: { "image/png": file, "image/webp": file, "image/jpeg": file },
      },
      304: { description: "The client has it.", headers: predictionHeadersDescribed },
      ...problems("invalid_digest", "not_cached", "invalid_options", "unknown_model"),
    },
  }),
] as const;
