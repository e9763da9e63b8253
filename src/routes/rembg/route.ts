import { Hono } from "hono";
import type { CutoutService } from "../../cutouts/service.ts";
import type { BodyReader } from "../../http/body.ts";
import { parseFields } from "../../http/fields.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import { type AppEnv, cutoutContext } from "../shared/context.ts";
import { allowOnly, logUnexpected, toHttpError } from "../shared/errors.ts";
import { ParameterError } from "../shared/parameters.ts";
import { CutoutResponses } from "../shared/response.ts";
import { fileOf, parseParameters, renderOptionsOf, urlOf } from "./request.ts";

export interface RembgRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches images by URL. Without it, such requests are refused. */
  imageUrls?: ImageFetcher;
}

/**
 * rembg's HTTP API (`rembg s`, version 2.0.86): `GET /api/remove?url=…`, and `POST /api/remove` with a form's `file`.
 * Errors have FastAPI's format. Unsupported parameters are refused by name.
 */
export function rembgRoute({ cutouts, bodies, imageUrls }: RembgRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const responses = new CutoutResponses();
  const headers = () => ({ "Cache-Control": "no-store" });

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    const detail = error instanceof ParameterError ? error.faults : message;
    return c.json({ detail, code, ...(status === 500 && { request_id: c.get("requestId") }) }, status, headers);
  });

  route.get("/api/remove", async (c) => {
    const { url, ...query } = c.req.query();
    const name = urlOf(url);
    const parameters = parseParameters(query, "query");
    const image = await fetchImage(imageUrls, name, c.req.raw.signal);
    using _fetched = bodies.reserve(image.length);

    const render = renderOptionsOf(parameters);
    const result = await cutouts.cutOut({ image, name, model: parameters.model, render, ...cutoutContext(c) });
    return responses.respond(c, result, headers);
  });

  route.post("/api/remove", async (c) => {
    using body = await bodies.read(c.req.raw);
    const fields = parseFields(c.req.header("Content-Type"), body.take());
    const { bytes: image, name } = fileOf(fields);
    const texts = [...fields].filter(([name]) => name !== "file");
    // rembg reads parameters from the form, but curl users often put them in the query.
    const parameters = parseParameters({ ...c.req.query(), ...Object.fromEntries(texts) }, "body");

    const render = renderOptionsOf(parameters);
    const result = await cutouts.cutOut({ image, name, model: parameters.model, render, ...cutoutContext(c) });
    return responses.respond(c, result, headers);
  });

  route.all("/api/remove", allowOnly("GET", "HEAD", "POST"));

  return route;
}
