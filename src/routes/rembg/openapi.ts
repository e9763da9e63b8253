import { z } from "zod";
import {
  accessCodes,
  binaryFile,
  bodyCodes,
  cacheControlParameter,
  clientSecurity,
  cutoutHeaders,
  describeRoute,
  errorResponses,
  fileSchema,
  imageCodes,
  imageUrlCodes,
} from "../shared/openapi.ts";
import { parametersSchema } from "./request.ts";

const errorSchema = z.object({
  detail: z.union([
    z.string(),
    z.array(z.object({ loc: z.array(z.union([z.string(), z.int()])), msg: z.string(), type: z.string() })),
  ]).describe("The problem as text, or one entry for each invalid parameter."),
  code: z.string(),
  request_id: z.string().optional().describe("Only for internal errors: identifies the request in its log."),
}).meta({ id: "RembgError" });

const responses = {
  200: {
    description: "The cutout, or its mask with `om`.",
    headers: cutoutHeaders,
    content: { "image/png": binaryFile },
  },
  ...errorResponses(
    { mediaType: "application/json", schema: errorSchema },
    ...accessCodes,
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
    operationId: "rembgByUrl",
    summary: "rembg's API: an image by its URL",
    description:
      "`GET /api/remove` of `rembg s` 2.0.86. The server must be allowed to fetch images (`ALLOW_IMAGE_URLS`).",
    tags: ["rembg"],
    security: clientSecurity,
    request: {
      query: parametersSchema.extend({ url: z.url().describe("The image's URL.") }),
      headers: cacheControlParameter,
    },
    responses,
  }),
  describeRoute({
    method: "post",
    path: "/api/remove",
    operationId: "rembg",
    summary: "rembg's API: an image as a file",
    description: "`POST /api/remove` of `rembg s` 2.0.86. Unknown parameters and empty values are ignored, as there.",
    tags: ["rembg"],
    security: clientSecurity,
    request: {
      headers: cacheControlParameter,
      body: {
        required: true,
        content: {
          "multipart/form-data": { schema: parametersSchema.extend({ file: fileSchema("The image file.") }) },
        },
      },
    },
    responses,
  }),
] as const;
