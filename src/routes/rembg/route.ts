import { type Context, Hono } from "hono";
import { z } from "zod";
import type { BodyReader } from "../../http/body.ts";
import { allowOnly, toHttpError } from "../shared/errors.ts";
import { HttpError } from "../../http/errors.ts";
import { type Fields, type FormFile, parseFields } from "../../http/fields.ts";
import { predictionHeaders, requestContext } from "../shared/headers.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import { type AppEnv, logUnexpected } from "../shared/context.ts";
import {
  admissionCodes,
  binaryFile,
  bodyCodes,
  cacheControlParameter,
  clientSecurity,
  describeRoute,
  errorResponses,
  fileSchema,
  imageCodes,
  imageUrlCodes,
  predictionHeadersDescribed,
} from "../shared/openapi.ts";
import { faultsOf } from "../shared/parameters.ts";
import { type RenderOptions, renderOptionsSchema } from "../../render/options.ts";
import type { CutoutService } from "../../cutouts/service.ts";

export interface RembgRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches images that are named by address; without one, such requests are refused. */
  imageUrls?: ImageFetcher;
}

/** As rembg's server reads them (pydantic), so that what it takes is taken here. */
const words = { truthy: ["true", "1", "on", "yes", "t", "y"], falsy: ["false", "0", "off", "no", "f", "n"] };
const flag = z.stringbool(words).meta({ enum: [...words.truthy, ...words.falsy] }).default(false);
const whole = (maximum?: number) =>
  z.string().trim().regex(/^\d{1,9}$/, "is not a whole number").transform(Number)
    .refine((value) => maximum === undefined || value <= maximum, `is more than ${maximum}`);

/** Its parameters. */
const parametersSchema = z.strictObject({
  model: z.string().optional(),
  /** Alpha matting, and what has a meaning only with it. */
  a: flag.describe("Alpha matting; refused."),
  af: whole(255).default(240),
  ab: whole(255).default(10),
  ae: whole().default(10),
  /** Only the mask. */
  om: flag.describe("Only the mask."),
  /** Post-processing of the mask. */
  ppm: flag.describe("Post-processing of the mask."),
  /** Decontamination of edges. */
  dc: flag.describe("Decontamination of edges; refused."),
  /** Refinement by ViTMatte. */
  vm: flag.describe("Refinement by ViTMatte; refused."),
  /** `red,green,blue,alpha`, each 0 to 255. */
  bgc: z.string().regex(/^\s*\d{1,3}\s*(,\s*\d{1,3}\s*){2,3}$/, "is not red,green,blue,alpha, each from 0 to 255")
    .refine((text) => text.split(",").every((channel) => Number(channel) <= 255), "has a channel over 255").optional(),
  /** Prompts of models that are not served here. */
  extras: z.string().optional(),
});

type Parameters = z.output<typeof parametersSchema>;

interface RembgRequest {
  readonly image: Uint8Array<ArrayBuffer>;
  readonly name?: string;
  readonly parameters: Parameters;
}

/** What is not built, and what comes nearest. */
const NOT_SERVED = {
  a: "alpha matting is not built; POST /cutouts?refine=true gives finer edges",
  vm: "ViTMatte is not served; POST /cutouts?refine=true gives finer edges",
  dc: "decontamination is not had by itself; POST /cutouts?refine=true does it, and refines the edges",
} as const;

/**
 * rembg's HTTP API (`rembg s`, version 2.0.86): `GET /api/remove?url=…` and `POST /api/remove` with a form's `file`. Its
 * errors have the shape of FastAPI's. What cannot be served is refused by its name.
 */
export function rembgRoute({ cutouts, bodies, imageUrls }: RembgRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    const detail = error instanceof ParameterError ? error.detail : message;
    return c.json({ detail, code, ...(status === 500 && { request_id: c.get("requestId") }) }, status, headers);
  });

  route.get("/api/remove", async (c) => {
    const { url, ...query } = c.req.query();
    if (!url) throw missing("query", "url");
    const parameters = parseParameters(query, "query");
    const image = await fetchImage(imageUrls, url, c.req.raw.signal);
    return await bodies.hold(image.length, () => answer(c, { image, name: url, parameters }));
  });

  route.post("/api/remove", (c) =>
    bodies.take(
      c.req.raw,
      async (body) => {
        const fields = await parseFields(c.req.header("Content-Type"), body);
        const file = fileOf(fields);
        const texts = [...fields].filter(([name]) => name !== "file");
        // rembg reads them from the form; curl's users like to write them into the address.
        const parameters = parseParameters({ ...c.req.query(), ...Object.fromEntries(texts) }, "body");
        return { image: file.bytes, name: file.name, parameters };
      },
      (request) => answer(c, request),
    ));

  route.all("/api/remove", allowOnly("GET", "HEAD", "POST"));

  async function answer(c: Context<AppEnv>, { image, name, parameters }: RembgRequest): Promise<Response> {
    const prediction = await cutouts.predict({
      image,
      name,
      model: parameters.model,
      render: renderOf(parameters),
      ...requestContext(c),
    });
    return c.body(prediction.entry.bytes, 200, {
      ...predictionHeaders(prediction),
      "Content-Type": prediction.entry.contentType,
      "Cache-Control": "no-store",
    });
  }

  return route;
}

/** Faults of single parameters, which FastAPI lists. */
class ParameterError extends HttpError {
  constructor(readonly detail: { loc: (string | number)[]; msg: string; type: string }[], message: string) {
    super(422, "invalid_request", message);
  }
}

function missing(place: "query" | "body", name: string): ParameterError {
  return new ParameterError([{ loc: [place, name], msg: "Field required", type: "missing" }], `${name}: is missing`);
}

function fileOf(fields: Fields): FormFile {
  const file = fields.get("file");
  if (file === undefined) throw missing("body", "file");
  if (typeof file !== "string") return file;
  const msg = "is text, not a file; with curl, write -F file=@photo.jpg";
  throw new ParameterError([{ loc: ["body", "file"], msg, type: "file_type" }], `file: ${msg}`);
}

function parseParameters(given: Record<string, unknown>, place: "query" | "body"): Parameters {
  const parsed = parametersSchema.safeParse(given);
  if (!parsed.success) {
    const detail = parsed.error.issues.map(({ path, code, message }) => ({
      loc: [place, ...path.map(String)],
      msg: message,
      type: code ?? "invalid",
    }));
    throw new ParameterError(detail, faultsOf(parsed.error, place));
  }
  const parameters = parsed.data;
  for (const [name, reason] of Object.entries(NOT_SERVED)) {
    if (parameters[name as keyof typeof NOT_SERVED]) throw notServed(place, name, reason);
  }
  if (parameters.extras !== undefined && !/^\s*(\{\s*\}\s*)?$/.test(parameters.extras)) {
    throw notServed(place, "extras", "no model here takes any");
  }
  return parameters;
}

function notServed(place: "query" | "body", name: string, reason: string): ParameterError {
  return new ParameterError([{ loc: [place, name], msg: reason, type: "not_served" }], `${name}: ${reason}`);
}

function renderOf({ om, ppm, bgc }: Parameters): RenderOptions {
  const [red, green, blue, alpha = 255] = bgc?.split(",").map(Number) ?? [];
  return renderOptionsSchema.parse({
    ...(om && { channels: "alpha" }),
    ...(ppm && { smooth: true }),
    ...(bgc !== undefined && { background: `rgb(${red} ${green} ${blue} / ${alpha / 255})` }),
  });
}

const errorSchema = z.object({
  detail: z.union([
    z.string(),
    z.array(z.object({ loc: z.array(z.union([z.string(), z.int()])), msg: z.string(), type: z.string() })),
  ]).describe("What was wrong: in words, or parameter by parameter."),
  code: z.string(),
  request_id: z.string().optional().describe("Of a fault of ours: names the request in the server's log."),
}).meta({ id: "RembgError" });

const responses = {
  200: {
    description: "The cutout, or with `om` its mask.",
    headers: predictionHeadersDescribed,
    content: { "image/png": binaryFile },
  },
  ...errorResponses(
    { mediaType: "application/json", schema: errorSchema },
    ...admissionCodes,
    ...bodyCodes,
    ...imageCodes,
    ...imageUrlCodes,
    "unsupported_content_type",
    "invalid_json",
    "invalid_form",
    "invalid_request",
  ),
};

export const rembgPaths = [
  describeRoute({
    method: "get",
    path: "/api/remove",
    summary: "As rembg's server: by address",
    tags: ["rembg"],
    security: clientSecurity,
    request: {
      query: parametersSchema.extend({ url: z.url().describe("Where the image is.") }),
      headers: cacheControlParameter,
    },
    responses,
  }),
  describeRoute({
    method: "post",
    path: "/api/remove",
    summary: "As rembg's server",
    tags: ["rembg"],
    security: clientSecurity,
    request: {
      headers: cacheControlParameter,
      body: {
        required: true,
        content: {
          "multipart/form-data": {
            schema: parametersSchema.extend({ file: fileSchema("The image.") }),
          },
        },
      },
    },
    responses,
  }),
] as const;
