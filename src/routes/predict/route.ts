import { Hono } from "hono";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import type { ImageId } from "../../cache/keys.ts";
import type { Sha256Hex } from "../../base/hash.ts";
import { KnownDigests } from "./known_digests.ts";
import { RepeatedAnswers } from "../shared/response.ts";
import { base64Json } from "../../cutouts/representation.ts";
import type { BodyReader } from "../../http/body.ts";
import { allowOnly, toHttpError } from "../shared/errors.ts";
import { HttpError } from "../../http/errors.ts";
import { decodeBase64, isJson, mediaTypeOf } from "../../http/fields.ts";
import { cacheUseOf, requestContext } from "../shared/headers.ts";
import { type AppEnv, logUnexpected } from "../shared/context.ts";
import {
  admissionCodes,
  bodyCodes,
  cacheControlParameter,
  clientSecurity,
  describeRoute,
  errorResponses,
  imageCodes,
  predictionHeadersDescribed,
} from "../shared/openapi.ts";
import { faultsOf } from "../shared/parameters.ts";
import { defaultRenderOptions, renderOptionsSchema } from "../../render/options.ts";
import type { CutoutService, Form, PredictRequest } from "../../cutouts/service.ts";
import { type Observer, timed, type Timings } from "../../telemetry/observer.ts";

/** A PNG of one pixel, for the description. */
const ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

export const predictRequestSchema = z.object({
  file_path: z.string().max(4096).meta({
    description: "A name for the image, for logs and for `CACHE_KEY=file_path`; nothing is read from it.",
    example: "coffee.jpg",
  }),
  img_base64: z.string().min(1).meta({
    description: "The image file in base64 (RFC 4648), with or without a `data:…;base64,` prefix (RFC 2397).",
    example: ONE_PIXEL,
  }),
  model: z.string().optional().describe("One of the models that `GET /metadata` lists."),
  options: renderOptionsSchema.optional().describe(
    "How the cutout is rendered; without them a PNG of the image's size.",
  ),
});

const predictAnswerSchema = z.object({
  status: z.literal("ok"),
  img_none_bg_base64: z.string().describe("The cutout's file, in base64."),
}).meta({ id: "Cutout" });

const predictErrorSchema = z.object({
  status: z.literal("ng"),
  img_none_bg_base64: z.null(),
  error: z.object({ code: z.string(), message: z.string() }),
  request_id: z.string().optional().describe("Of a fault of ours: names the request in the server's log."),
}).meta({ id: "PredictError" });

export const predictPaths = [
  describeRoute({
    method: "post",
    path: "/predict",
    summary: "Removes the background of an image",
    description: "The same image again, whatever its name, costs a cache hit.",
    tags: ["cutouts"],
    security: clientSecurity,
    request: {
      headers: cacheControlParameter,
      body: { required: true, content: { "application/json": { schema: predictRequestSchema } } },
    },
    responses: {
      200: {
        description: "The cutout.",
        headers: predictionHeadersDescribed,
        content: { "application/json": { schema: predictAnswerSchema } },
      },
      ...errorResponses(
        { mediaType: "application/json", schema: predictErrorSchema },
        ...admissionCodes,
        ...bodyCodes,
        ...imageCodes,
        "invalid_base64",
        "unsupported_content_type",
        "invalid_json",
        "invalid_request",
      ),
    },
  }),
] as const;

/** What a body asks for, and the id of its image. */
type Asked = { readonly image: ImageId } & Pick<PredictRequest, "name" | "model" | "render">;

/**
 * The digest of a body that has been answered leads to what it asked for: when it comes again, nothing of it is parsed or
 * decoded (half the time of a memory hit). One takes about 500 bytes.
 */
const REMEMBERED_BODIES = 4096;

export interface PredictRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  telemetry?: Pick<Observer, "stage">;
}

/** `POST /predict`: the original dialect, JSON in and JSON out, an image of the same size as it came. */
export function predictRoute({ cutouts, bodies, telemetry }: PredictRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const asked = new LRUCache<Sha256Hex, Asked>({ max: REMEMBERED_BODIES });
  const digests = new KnownDigests();
  const answers = new RepeatedAnswers();

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    return c.json(
      {
        status: "ng",
        img_none_bg_base64: null,
        error: { code, message },
        ...(status === 500 && { request_id: c.get("requestId") }),
      },
      status,
      headers,
    );
  });

  route.post("/predict", async (c) => {
    const contentType = c.req.header("Content-Type");
    const cacheUse = cacheUseOf(c.req.header("Cache-Control"));
    const logger = c.get("logger");
    const prediction = await bodies.take(
      c.req.raw,
      async (body) => {
        refuseOtherTypes(contentType);
        const timings: Timings = {};
        const digest = await timed(timings, "hash", () => digests.digestOf(body), telemetry);
        const known = cacheUse === "default" ? asked.get(digest) : undefined;
        const found = known && await cutouts.find(known.image, { ...known, form: json, logger }, "all");
        if (found === undefined) return { digest, request: parseBody(body) };
        digests.keep(body, digest);
        return { found: { ...found, timings: { ...timings, ...found.timings } } };
      },
      async ({ found, digest, request }) => {
        if (found !== undefined) return found;
        const prediction = await cutouts.predict({
          ...request,
          keyName: request.name,
          form: json,
          // Not before: a signal is made when it is asked for, and a memory hit needs none.
          ...requestContext(c),
        });
        const { name, model, render } = request;
        asked.set(digest, { image: prediction.image, name, model, render });
        return prediction;
      },
    );
    return answers.send(c, prediction, 200, () => ({
      "Content-Type": prediction.entry.contentType,
      // An answer to POST is for this sender only; GET /cutouts/… is what others may keep.
      "Cache-Control": "no-store",
    }));
  });

  route.all("/predict", allowOnly("POST"));

  return route;
}

/** @throws {HttpError} 415 where the body is said to be anything but JSON. */
function refuseOtherTypes(contentType: string | undefined): void {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === undefined || isJson(mediaType)) return;
  throw new HttpError(415, "unsupported_content_type", `the body is ${mediaType}; send application/json`);
}

function parseBody(body: Uint8Array<ArrayBuffer>): Pick<PredictRequest, "image" | "name" | "model" | "render"> {
  const wanted = `send {"file_path": string, "img_base64": string}`;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new HttpError(422, "invalid_json", `the body is not JSON; ${wanted}`);
  }
  const parsed = predictRequestSchema.safeParse(json);
  if (!parsed.success) {
    throw new HttpError(422, "invalid_request", `${faultsOf(parsed.error, "body")}; ${wanted}`);
  }
  const { file_path: name, img_base64, model, options: render = defaultRenderOptions } = parsed.data;
  return { image: decodeBase64(img_base64, "img_base64"), name, model, render };
}

/** The answer to a request that went well. */
const json: Form = {
  name: "json",
  make: (file) => base64Json('{"status":"ok","img_none_bg_base64":"', file, '"}'),
};
