import { Hono } from "hono";
import type { CutoutService } from "../../cutouts/service.ts";
import type { BodyReader } from "../../http/body.ts";
import { parseFields } from "../../http/fields.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import type { Model } from "../../inference/model/manifest.ts";
import { type AppEnv, cutoutContext } from "../shared/context.ts";
import { allowOnly, logUnexpected, toHttpError } from "../shared/errors.ts";
import { ParameterError } from "../shared/parameters.ts";
import { CutoutResponses } from "../shared/response.ts";
import { fileOf, parseParameters, parsePostParameters, renderOptionsOf, urlOf } from "./request.ts";

export interface RembgRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches images by URL. Without it, such requests are refused. */
  imageUrls?: ImageFetcher;
  /** The models that a request can name. */
  models: [Model, ...Model[]];
}

/** FastAPI serves both. */
const PATHS = ["/api/remove", "/api/remove/"];

/**
 * rembg's HTTP API (`rembg s`, version 2.0.86): `GET /api/remove?url=…`, and `POST /api/remove` with a form's `file`.
 * Requests that rembg answers are answered here, except for what cannot be served, which is refused by name. Errors have
 * FastAPI's format.
 */
export function rembgRoute({ cutouts, bodies, imageUrls, models }: RembgRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const responses = new CutoutResponses();
  const modelNames = models.map(({ manifest }) => manifest.name);
  const headers = () => ({ "Cache-Control": "no-store" });

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    const detail = error instanceof ParameterError ? error.faults : message;
    return c.json({ detail, code, ...(status === 500 && { request_id: c.get("requestId") }) }, status, headers);
  });

  route.on("GET", PATHS, async (c) => {
    const { url, ...query } = lastOf(c.req.queries());
    const name = urlOf(url);
    const parameters = parseParameters(query, "query");
    const image = await fetchImage(imageUrls, name, c.req.raw.signal);
    using _fetched = bodies.reserve(image.length);

    const render = renderOptionsOf(parameters);
    const result = await cutouts.cutOut({ image, name, model: parameters.model, render, ...cutoutContext(c) });
    return responses.respond(c, result, headers);
  });

  route.on("POST", PATHS, async (c) => {
    using body = await bodies.read(c.req.raw);
    const fields = parseFields(c.req.header("Content-Type"), body.take(), { repeated: "last" });
    const { bytes: image, name } = fileOf(fields);
    const form = Object.fromEntries([...fields].filter(([name]) => name !== "file"));
    const parameters = parsePostParameters(form, lastOf(c.req.queries()), modelNames);

    const render = renderOptionsOf(parameters);
    const result = await cutouts.cutOut({ image, name, model: parameters.model, render, ...cutoutContext(c) });
    return responses.respond(c, result, headers);
  });

  for (const path of PATHS) route.all(path, allowOnly("GET", "HEAD", "POST"));

  return route;
}

/** A parameter that was sent more than once has its last value, as in FastAPI. An empty one was not sent. */
function lastOf(queries: Record<string, string[]>): Record<string, string> {
  const entries = Object.entries(queries).map(([name, values]) => [name, values.at(-1)!] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== ""));
}
