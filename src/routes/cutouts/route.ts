import { create as contentDisposition } from "content-disposition";
import { Hono } from "hono";
import { splitList } from "../../base/comma_list.ts";
import { ifUnavailable } from "../../base/errors.ts";
import type { CutoutResult } from "../../cutouts/request.ts";
import type { CutoutService } from "../../cutouts/service.ts";
import type { BodyReader } from "../../http/body.ts";
import { HttpError } from "../../http/errors.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import type { RenderOptions } from "../../render/options.ts";
import { splitOptions } from "../../render/from_cutout.ts";
import { cacheUseOf, matchesEtag } from "../shared/cache_control.ts";
import { cdnHeaders } from "../shared/cdn.ts";
import { type AppEnv, cutoutContext } from "../shared/context.ts";
import { allowOnly } from "../shared/errors.ts";
import { parseImageId, queryOf } from "../shared/parameters.ts";
import { CutoutResponses } from "../shared/response.ts";
import { acceptedFormat, type Options, parseOptions, parseRequest } from "./request.ts";

export interface CutoutsRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches images by URL. Without it, such requests are refused. */
  imageUrls?: ImageFetcher;
  /** How long clients and shared caches may keep a cutout, in seconds. */
  maxAgeSeconds: number;
  /** Whether clients need a token. If so, shared caches must not keep cutouts. */
  needsToken: boolean;
}

/**
 * The native API. `POST /cutouts` makes a cutout of an image. `GET /cutouts/{SHA-256 of the image}` returns one from the
 * cache, which saves the upload for clients that know the digest. The URL depends on the content alone, so any cache
 * between client and server may keep the response.
 */
export function cutoutsRoute(
  { cutouts, bodies, imageUrls, maxAgeSeconds, needsToken }: CutoutsRouteOptions,
): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const responses = new CutoutResponses();
  const shared = needsToken ? "" : `, s-maxage=${maxAgeSeconds}`;
  const cacheControl = `${needsToken ? "private" : "public"}, max-age=${maxAgeSeconds}${shared}, immutable`;

  route.post("/cutouts", async (c) => {
    using body = await bodies.read(c.req.raw);
    const request = await parseRequest(c.req.header("Content-Type"), body.take(), queryOf(c));
    const options = { ...request.options, format: request.options.format ?? acceptedFormat(c) };
    const { model, render } = parseOptions(options, "request");
    const image = request.image ?? await fetchImage(imageUrls, request.url, c.req.raw.signal);
    using _fetched = request.image === undefined ? bodies.reserve(image.length) : undefined;

    const { name, background } = request;
    const result = await cutouts.cutOut({ image, background, name, model, render, ...cutoutContext(c) });

    return responses.respond(c, result, () => ({
      "Content-Disposition": contentDisposition(fileName(name, result.entry.contentType), { type: "inline" }),
      "Location": locationOf(result, { ...options, format: render.format }),
      // The response to POST is for its sender only; any cache may keep the one at its Location.
      "Cache-Control": "no-store",
      "Vary": "Accept",
    }));
  });

  route.get("/cutouts/:image", async (c) => {
    const image = parseImageId(c.req.param("image"));
    const { model, render } = parseOptions(queryOf(c), "query");
    const cacheUse = cacheUseOf(c.req.header("Cache-Control"));

    const scope = cacheUse === "refresh" ? "durable" : "all";
    const request = { ...cutoutContext(c), model, render };
    const lenient = isLenient(c.req.header("Prefer"));
    const finding = cacheUse === "bypass" ? undefined : cutouts.findOrRender(image, request, scope);
    // A lenient client posts the image next, which needs no store.
    const result = await (lenient ? finding?.catch(ifUnavailable(undefined)) : finding);
    if (result === undefined) {
      if (lenient) {
        return c.body(null, 204, { "Cache-Control": "no-store", "Preference-Applied": LENIENT });
      }
      throw new HttpError(404, "not_cached", `${missing(render)}; post the image to /cutouts`, {
        // The client will ask again after it has posted the image.
        "Cache-Control": "no-store",
        "Cache-Status": cacheUse === "bypass" ? "Cutcache; fwd=bypass" : "Cutcache; fwd=miss",
      });
    }

    const status = matchesEtag(c.req.header("If-None-Match"), result.entry.etag) ? 304 : 200;
    const headers = () => ({ "Cache-Control": cacheControl, ...(!needsToken && cdnHeaders(result)) });
    return responses.respond(c, result, headers, status);
  });

  route.all("/cutouts", allowOnly("POST"));
  route.all("/cutouts/:image", allowOnly("GET", "HEAD"));

  return route;
}

/** Why a cutout cannot be made without its image. */
function missing(render: RenderOptions): string {
  if (splitOptions(render) !== undefined) return "the cache has neither this cutout nor one to render it from";
  return "the cache does not have this cutout, and its options need the image itself";
}

/** The URL at which GET returns the same cutout. */
function locationOf({ image }: CutoutResult, { format, ...options }: Options): string {
  const query = new URLSearchParams({ ...options, ...(format !== "png" && { format }) });
  return `/cutouts/${image}${query.size === 0 ? "" : `?${query}`}`;
}

/** A preference (RFC 7240, section 4.4). */
const LENIENT = "handling=lenient";

function isLenient(prefer: string | undefined): boolean {
  return splitList(prefer ?? "").some((preference) => preference.toLowerCase() === LENIENT);
}

/** `photo.jpg` becomes `photo.png`. The name of a URL is the last part of its path. */
function fileName(name: string | undefined, contentType: string): string {
  const extension = contentType.split("/")[1];
  const path = name !== undefined && URL.canParse(name) ? new URL(name).pathname : name ?? "";
  const stem = path.split(/[/\\]/).at(-1)!.replace(/\.[^.]*$/, "");
  return `${stem || "cutout"}.${extension}`;
}
