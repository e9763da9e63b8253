import { z } from "zod";
import { renderOptionsSchema } from "../../render/options.ts";
import {
  accessCodes,
  bodyCodes,
  cacheControlParameter,
  clientSecurity,
  cutoutHeaders,
  describeRoute,
  errorResponses,
  imageCodes,
} from "../shared/openapi.ts";

/** A PNG of one pixel. */
const ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

export const predictRequestSchema = z.object({
  file_path: z.string().max(4096).meta({
    description:
      "A name for the image, for logs and for `CACHE_KEY=file_path`. The server reads no file with this name.",
    example: "coffee.jpg",
  }),
  img_base64: z.string().min(1).meta({
    description: "The image file in base64 (RFC 4648), with or without a `data:…;base64,` prefix (RFC 2397).",
    example: ONE_PIXEL,
  }),
  model: z.string().optional().describe("One of the models that `GET /metadata` lists."),
  options: renderOptionsSchema.optional().describe(
    "How to render the cutout; by default, as a PNG of the same size as the image.",
  ),
});

const responseSchema = z.object({
  status: z.literal("ok"),
  img_none_bg_base64: z.string().describe("The cutout file in base64."),
}).meta({ id: "Cutout" });

const requestId = z.string().optional().describe("Only for internal errors: identifies the request in its log.");

const errorSchema = z.object({
  status: z.literal("ng"),
  img_none_bg_base64: z.null(),
  error: z.object({ code: z.string(), message: z.string() }),
  request_id: requestId,
  job_id: requestId.meta({ description: "The same as `request_id`." }),
}).meta({ id: "PredictError" });

export const predictPaths = [
  describeRoute({
    method: "post",
    path: "/predict",
    operationId: "predict",
    summary: "Removes the background from an image",
    description: "Sending the same image again is a cache hit, even under another name.",
    tags: ["cutouts"],
    security: clientSecurity,
    request: {
      headers: cacheControlParameter,
      body: { required: true, content: { "application/json": { schema: predictRequestSchema } } },
    },
    responses: {
      200: {
        description: "The cutout.",
        headers: cutoutHeaders,
        content: { "application/json": { schema: responseSchema } },
      },
      ...errorResponses(
        { mediaType: "application/json", schema: errorSchema },
        ...accessCodes,
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
