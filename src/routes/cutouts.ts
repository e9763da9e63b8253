import { create as contentDisposition } from "content-disposition";
import { type Context, Hono } from "hono";
import { parseAccept } from "hono/utils/accept";
import { z } from "zod";
import type { BodyIntake } from "../http/body.ts";
import { HttpError } from "../http/errors.ts";
import { decodeBase64, type Fields, mediaTypeOf, parseFields } from "../http/fields.ts";
import { cacheUseOf, matchesEtag, predictionHeaders } from "../http/headers.ts";
import { fetchImage, type ImageFetcher } from "../http/image_urls.ts";
import type { AppEnv } from "../http/job.ts";
import { cacheControlParameter, describeRoute, predictionHeadersDescribed, problems } from "../http/openapi.ts";
import { faultsOf, imageParameter, parseImageId } from "../http/parameters.ts";
import { defaultRenderOptions, type RenderOptions, renderOptionsSchema } from "../inference/render_options.ts";
import type { Prediction, Predictor } from "../predictor.ts";

export interface CutoutsRouteOptions {
  predictor: Predictor;
  bodies: BodyIntake;
  /** Fetches images that are named by address; without one, such requests are refused. */
  imageUrls?: ImageFetcher;
  /** How long others may keep a cutout, in seconds. */
  maxAgeSeconds: number;
}

/**
 * The native door. `POST /cutouts`: an image in, its cutout out. `GET /cutouts/{SHA-256 of the image}?options`: what the
 * cache has of an image, for clients that have the image's digest and would rather not send the image; since that address
 * is its content, whoever is in between may keep it.
 */
export function cutoutsRoute({ predictor, bodies, imageUrls, maxAgeSeconds }: CutoutsRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const cacheControl = `public, max-age=${maxAgeSeconds}, s-maxage=${maxAgeSeconds}, immutable`;

  route.post("/cutouts", async (c) => {
    const sent = await bodies.take(
      c.req.raw,
      async (body) => await parseBody(c.req.header("Content-Type"), body, c.req.query()),
      async (request) => {
        const image = request.image ?? await fetchImage(imageUrls, request.url, c.req.raw.signal);
        const { model, render } = parseOptions(withAcceptedFormat(request.options, c), "request");
        const prediction = await predictor.predict({
          image,
          name: request.name,
          model,
          render,
          cacheUse: cacheUseOf(c.req.header("Cache-Control")),
          signal: c.req.raw.signal,
          waitUntil: (work) => c.executionCtx.waitUntil(work),
          logger: c.var.logger,
        });
        return { prediction, name: request.name, options: { ...request.options, format: render.format } };
      },
    );
    const { entry } = sent.prediction;
    return c.body(entry.bytes, 200, {
      ...predictionHeaders(sent.prediction),
      "Content-Type": entry.contentType,
      "Content-Disposition": contentDisposition(cutoutName(sent.name, entry.contentType), { type: "inline" }),
      "Location": addressOf(sent.prediction, sent.options),
      // An answer to POST is for this sender only; what is at its Location is for everybody.
      "Cache-Control": "no-store",
      "Vary": "Accept",
    });
  });

  route.get("/cutouts/:image", async (c) => {
    const image = parseImageId(c.req.param("image"));
    const { model, render } = parseOptions(c.req.query(), "query");
    const cacheUse = cacheUseOf(c.req.header("Cache-Control"));
    const request = { model, render, logger: c.var.logger };
    const prediction = cacheUse === "bypass"
      ? undefined
      : await predictor.find(image, request, cacheUse === "refresh" ? "durable" : "all");
    if (prediction === undefined) {
      // Asked for again once the image has been posted, so nobody must remember this.
      throw new HttpError(404, "not_cached", "the cache has no such cutout; post the image to /cutouts", {
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

  route.all("/cutouts", () => {
    throw new HttpError(405, "method_not_allowed", "use POST", { Allow: "POST" });
  });
  route.all("/cutouts/:image", () => {
    throw new HttpError(405, "method_not_allowed", "use GET or HEAD", { Allow: "GET, HEAD" });
  });

  return route;
}

type Options = Readonly<Record<string, string>>;

/** An image, or where it is to be fetched; and every option, from the query or the body. */
type CutoutRequest =
  & { readonly name?: string; readonly options: Options }
  & (
    { readonly image: Uint8Array<ArrayBuffer>; readonly url?: undefined } | {
      readonly url: string;
      readonly image?: undefined;
    }
  );

const SOURCES = ["file", "image_base64", "image_url"] as const;
const WANTED = "send the image itself, or one of the fields file, image_base64 and image_url";

async function parseBody(
  contentType: string | undefined,
  body: Uint8Array<ArrayBuffer>,
  query: Record<string, string>,
): Promise<CutoutRequest> {
  if (body.length === 0) throw new HttpError(422, "no_image", `the body is empty; ${WANTED}`);
  if (isImageItself(contentType, body)) return { image: body, options: query };
  const fields = await parseFields(contentType, body);
  const options: Record<string, string> = { ...query };
  for (const [name, value] of fields) {
    if (SOURCES.some((source) => source === name)) continue;
    if (typeof value !== "string") throw new HttpError(422, "invalid_request", `${name}: is a file, not an option`);
    if (name in query) throw new HttpError(422, "invalid_request", `${name}: is both in the query and in the body`);
    options[name] = value;
  }
  return { ...sourceOf(fields), options };
}

/**
 * Whether the body is an image and no form. Said by its bytes as well, since curl calls whatever `--data-binary` sends a
 * form and httpie calls it JSON: text has no control characters in its first bytes, and every image format has.
 */
function isImageItself(contentType: string | undefined, body: Uint8Array): boolean {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === undefined || mediaType === "application/octet-stream" || mediaType.startsWith("image/")) {
    return true;
  }
  if (mediaType === "multipart/form-data") return false;
  return body.subarray(0, 64).some((byte) => byte < 0x09 || byte === 0xff);
}

function sourceOf(fields: Fields):
  & Pick<CutoutRequest, "name">
  & (
    { image: Uint8Array<ArrayBuffer> } | { url: string }
  ) {
  const given = SOURCES.filter((source) => fields.has(source));
  if (given.length === 0) throw new HttpError(422, "no_image", WANTED);
  if (given.length > 1) throw new HttpError(422, "several_images", `send one of ${given.join(" and ")}, not both`);
  const [source] = given;
  const value = fields.get(source)!;
  if (source === "file") {
    if (typeof value === "string") {
      throw new HttpError(422, "invalid_request", "file: is text, not a file; with curl, write -F file=@photo.jpg");
    }
    return { image: value.bytes, name: value.name || undefined };
  }
  if (typeof value !== "string") throw new HttpError(422, "invalid_request", `${source}: is a file, not text`);
  return source === "image_url" ? { url: value, name: value } : { image: decodeBase64(value, source) };
}

/** In the order in which they are preferred where `Accept` does not say. */
const FORMATS = ["png", "webp", "jpeg"] as const;

/** `format` wins over `Accept` (RFC 9110, section 12.5.1). */
function withAcceptedFormat(options: Options, c: Context<AppEnv>): Options {
  const accept = c.req.header("Accept");
  if (options.format !== undefined || accept === undefined) return options;
  const ranges = parseAccept(accept);
  const quality = (format: string) => {
    const match = [`image/${format}`, "image/*", "*/*"].map((type) => ranges.find((range) => range.type === type));
    return match.find((range) => range !== undefined)?.q ?? 0;
  };
  const [best] = FORMATS.toSorted((a, b) => quality(b) - quality(a));
  if (quality(best) > 0) return { ...options, format: best };
  const message = `a cutout is one of ${
    FORMATS.map((format) => `image/${format}`).join(", ")
  }; Accept names none of them`;
  throw new HttpError(406, "not_acceptable", message);
}

function parseOptions({ model, ...options }: Options, root: string): { model?: string; render: RenderOptions } {
  if (Object.keys(options).length === 0) return { model, render: defaultRenderOptions };
  const parsed = renderOptionsSchema.safeParse(options);
  if (parsed.success) return { model, render: parsed.data };
  throw new HttpError(422, "invalid_options", faultsOf(parsed.error, root));
}

/** Where a GET has the same cutout. */
function addressOf({ image }: Prediction, { format, ...options }: Options): string {
  const query = new URLSearchParams({ ...options, ...(format !== "png" && { format }) });
  return `/cutouts/${image}${query.size === 0 ? "" : `?${query}`}`;
}

/** `photo.jpg` becomes `photo.png`; of an address, the last part of its path is the name. */
function cutoutName(name: string | undefined, contentType: string): string {
  const extension = contentType.split("/")[1];
  const path = name !== undefined && URL.canParse(name) ? new URL(name).pathname : name ?? "";
  const stem = path.split(/[/\\]/).at(-1)!.replace(/\.[^.]*$/, "");
  return `${stem || "cutout"}.${extension}`;
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
