import { create as contentDisposition } from "content-disposition";
import { Hono } from "hono";
import { z } from "zod";
import type { BodyReader } from "../../http/body.ts";
import { RepeatedAnswers } from "../shared/response.ts";
import { cdnHeaders } from "../shared/cdn.ts";
import { allowOnly } from "../shared/errors.ts";
import { HttpError } from "../../http/errors.ts";
import { cacheUseOf, matchesEtag, predictionHeaders, requestContext } from "../shared/headers.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import type { AppEnv } from "../shared/context.ts";
import {
  admissionCodes,
  binaryFile,
  bodyCodes,
  cacheControlParameter,
  clientSecurity,
  commonHeaders,
  describeRoute,
  fileSchema,
  header,
  imageCodes,
  imageUrlCodes,
  predictionHeadersDescribed,
  problems,
} from "../shared/openapi.ts";
import { imageParameter, parseImageId } from "../shared/parameters.ts";
import { renderOptionsSchema } from "../../render/options.ts";
import type { CutoutResult, CutoutService } from "../../cutouts/service.ts";
import { type Options, parseBody, parseOptions, withAcceptedFormat } from "./request.ts";

export interface CutoutsRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches images that are named by address; without one, such requests are refused. */
  imageUrls?: ImageFetcher;
  /** How long others may keep a cutout, in seconds. */
  maxAgeSeconds: number;
  /** Whether only some may have it; then a cache in between must not give it to others. */
  needsToken: boolean;
}

/**
 * The native door. `POST /cutouts`: an image in, its cutout out. `GET /cutouts/{SHA-256 of the image}?options`: what the
 * cache has of an image, for clients that have the image's digest and would rather not send the image; since that address
 * is its content, whoever is in between may keep it.
 */
export function cutoutsRoute(
  { cutouts, bodies, imageUrls, maxAgeSeconds, needsToken }: CutoutsRouteOptions,
): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const answers = new RepeatedAnswers();
  const shared = needsToken ? "" : `, s-maxage=${maxAgeSeconds}`;
  const cacheControl = `${needsToken ? "private" : "public"}, max-age=${maxAgeSeconds}${shared}, immutable`;

  route.post("/cutouts", async (c) => {
    const sent = await bodies.take(
      c.req.raw,
      async (body) => await parseBody(c.req.header("Content-Type"), body, c.req.query()),
      async (request) => {
        const { model, render } = parseOptions(withAcceptedFormat(request.options, c.req.header("Accept")), "request");
        const image = request.image ?? await fetchImage(imageUrls, request.url, c.req.raw.signal);
        const fetched = request.image === undefined ? image.length : 0;
        const prediction = await bodies.hold(fetched, () =>
          cutouts.predict({
            image,
            background: request.background,
            name: request.name,
            model,
            render,
            ...requestContext(c),
          }));
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
    const request = { model, render, logger: c.get("logger") };
    const prediction = cacheUse === "bypass"
      ? undefined
      : await cutouts.find(image, request, cacheUse === "refresh" ? "durable" : "all");
    if (prediction === undefined) {
      if (isLenient(c.req.header("Prefer"))) {
        return c.body(null, 204, { "Cache-Control": "no-store", "Preference-Applied": LENIENT });
      }
      // Asked for again once the image has been posted, so nobody must remember this.
      throw new HttpError(404, "not_cached", "the cache has no such cutout; post the image to /cutouts", {
        "Cache-Control": "no-store",
        "Cache-Status": cacheUse === "bypass" ? "Cutcache; fwd=bypass" : "Cutcache; fwd=miss",
      });
    }
    const { entry } = prediction;
    const headers = () => ({ "Cache-Control": cacheControl, ...(!needsToken && cdnHeaders(prediction)) });
    if (matchesEtag(c.req.header("If-None-Match"), entry.etag)) return answers.send(c, prediction, 304, headers);
    return answers.send(c, prediction, 200, () => ({ ...headers(), "Content-Type": entry.contentType }));
  });

  route.all("/cutouts", allowOnly("POST"));
  route.all("/cutouts/:image", allowOnly("GET", "HEAD"));

  return route;
}

/** Where a GET has the same cutout. */
function addressOf({ image }: CutoutResult, { format, ...options }: Options): string {
  const query = new URLSearchParams({ ...options, ...(format !== "png" && { format }) });
  return `/cutouts/${image}${query.size === 0 ? "" : `?${query}`}`;
}

/** A preference of RFC 7240, section 4.4. */
const LENIENT = "handling=lenient";

function isLenient(prefer: string | undefined): boolean {
  return prefer?.split(",").some((preference) => preference.trim().toLowerCase() === LENIENT) ?? false;
}

/** `photo.jpg` becomes `photo.png`; of an address, the last part of its path is the name. */
function cutoutName(name: string | undefined, contentType: string): string {
  const extension = contentType.split("/")[1];
  const path = name !== undefined && URL.canParse(name) ? new URL(name).pathname : name ?? "";
  const stem = path.split(/[/\\]/).at(-1)!.replace(/\.[^.]*$/, "");
  return `${stem || "cutout"}.${extension}`;
}

const files = {
  "image/png": binaryFile,
  "image/webp": binaryFile,
  "image/jpeg": binaryFile,
  "application/zip": binaryFile,
};

const optionsQuery = renderOptionsSchema.in.extend({
  model: z.string().optional().describe("One of the models that `GET /metadata` lists."),
});
const jsonRequestSchema = optionsQuery.extend({
  image_base64: z.string().optional().describe("The image file in base64, with or without a `data:` prefix."),
  image_url: z.url({ protocol: /^https?$/ }).optional().describe("Where the image is, instead."),
});
const formRequestSchema = jsonRequestSchema.extend({
  file: fileSchema("The image, instead.").optional(),
  background_image: fileSchema("A picture to put the subject on.").optional(),
});

export const cutoutsPaths = [
  describeRoute({
    method: "post",
    path: "/cutouts",
    summary: "Removes the background of an image",
    description:
      "The image itself, or one of `file`, `image_base64` and `image_url`; each option in the query or in the " +
      "body. The format is `format`'s, else that of `Accept`.",
    tags: ["cutouts"],
    security: clientSecurity,
    request: {
      query: optionsQuery,
      headers: cacheControlParameter.extend({
        "Accept": z.string().optional().meta({ description: "Which formats will do.", example: "image/webp" }),
      }),
      body: {
        required: true,
        content: {
          "application/octet-stream": binaryFile,
          "image/*": binaryFile,
          "multipart/form-data": { schema: formRequestSchema },
          "application/x-www-form-urlencoded": { schema: jsonRequestSchema },
          "application/json": { schema: jsonRequestSchema },
        },
      },
    },
    responses: {
      200: {
        description: "The cutout.",
        headers: {
          ...predictionHeadersDescribed,
          "Location": header("Where a GET has this cutout."),
          "Content-Disposition": header("A name for the file, after the image's."),
        },
        content: files,
      },
      ...problems(
        ...admissionCodes,
        ...bodyCodes,
        ...imageCodes,
        ...imageUrlCodes,
        "invalid_base64",
        "not_acceptable",
        "unsupported_content_type",
        "invalid_json",
        "invalid_form",
        "invalid_request",
        "invalid_options",
        "no_image",
        "several_images",
        "invalid_background",
        "background_missing",
        "roi_exceeds_bounds",
        "roi_region_empty",
      ),
    },
  }),
  describeRoute({
    method: "get",
    path: "/cutouts/{image}",
    summary: "What the cache has of an image",
    description: "For clients that have the image's digest and would rather not send the image.",
    tags: ["cutouts"],
    security: clientSecurity,
    request: {
      params: imageParameter,
      query: optionsQuery,
      headers: cacheControlParameter.extend({
        "If-None-Match": z.string().optional().describe("Entity tags of cutouts that the client has."),
        "Prefer": z.string().optional().meta({
          description: "`handling=lenient` (RFC 7240): 204 instead of 404, which every browser reports as an error.",
          example: "handling=lenient",
        }),
      }),
    },
    responses: {
      200: {
        description: "The cutout, for everybody to keep.",
        headers: predictionHeadersDescribed,
        content: files,
      },
      204: {
        description: "The cache has no such cutout, told to a client that would rather not have that as an error.",
        headers: { ...commonHeaders, "Preference-Applied": header("`handling=lenient`.") },
      },
      304: { description: "The client has it.", headers: predictionHeadersDescribed },
      ...problems(...admissionCodes, "invalid_digest", "not_cached", "invalid_options", "unknown_model"),
    },
  }),
] as const;
