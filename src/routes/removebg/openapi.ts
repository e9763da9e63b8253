import { z } from "zod";
import {
  binaryFile,
  cacheControlParameter,
  clientSecurity,
  commonHeaders,
  cutoutHeaders,
  describeRoute,
  fileSchema,
  header,
} from "../shared/openapi.ts";
import { parametersSchema } from "./request.ts";

const errorSchema = z.object({
  errors: z.array(z.object({ title: z.string(), code: z.string(), detail: z.string().optional() })).min(1),
  request_id: z.string().optional().describe("Only for internal errors: identifies the request in its log."),
}).meta({ id: "RemovebgErrors" });

const resultSchema = z.object({
  data: z.object({
    result_b64: z.string().describe("The result file in base64."),
    foreground_top: z.int(),
    foreground_left: z.int(),
    foreground_width: z.int(),
    foreground_height: z.int(),
  }),
}).meta({ id: "RemovebgResult" });

const credits = z.int().describe("Nothing is charged.");
const accountSchema = z.object({
  data: z.object({
    attributes: z.object({
      credits: z.object({ total: credits, subscription: credits, payg: credits, enterprise: credits }),
      api: z.object({ free_calls: z.int(), sizes: z.string() }),
    }),
  }),
}).meta({ id: "RemovebgAccount" });

const failure = (description: string, headers = {}) => ({
  description,
  headers: { ...commonHeaders, ...headers },
  content: { "application/json": { schema: errorSchema } },
});

const failures = {
  400: failure("The request or the image is invalid. Each error has a code."),
  403: failure("`auth_failed`: missing or invalid API key."),
  429: failure("`rate_limit_exceeded`", { "Retry-After": header("When to retry, in seconds.") }),
  500: failure("Internal error. The log has details under the `request_id`."),
  503: failure("The queue is full, or the server is shutting down."),
};

const textFields = parametersSchema.omit({ image_file: true, bg_image_file: true }).partial();
const formFields = textFields.extend({
  image_file: fileSchema("The image file, or one of `image_file_b64` and `image_url`.").optional(),
  bg_image_file: fileSchema("An image to put behind the subject.").optional(),
}).meta({ example: { image_file: "@photo.jpg" } });

export const removebgPaths = [
  describeRoute({
    method: "post",
    path: "/v1.0/removebg",
    operationId: "removebg",
    summary: "remove.bg's API 1.0",
    description: "Returns the file, or with `Accept: application/json` the file in base64.",
    tags: ["remove.bg"],
    security: clientSecurity,
    request: {
      headers: cacheControlParameter.extend({
        "Accept": z.string().optional().meta({
          description: "The type of the result: a file or JSON.",
          example: "application/json",
        }),
      }),
      body: {
        required: true,
        content: {
          "multipart/form-data": { schema: formFields },
          "application/x-www-form-urlencoded": { schema: textFields },
          "application/json": { schema: textFields },
        },
      },
    },
    responses: {
      200: {
        description: "The result.",
        headers: {
          ...cutoutHeaders,
          "X-Width": header("The result's width, in pixels."),
          "X-Height": header("The result's height, in pixels."),
          "X-Foreground-Top": header("Distance from the top of the result to the foreground, in pixels."),
          "X-Foreground-Left": header("Distance from the left of the result to the foreground, in pixels."),
          "X-Foreground-Width": header("Width of the foreground, in pixels."),
          "X-Foreground-Height": header("Height of the foreground, in pixels."),
          "X-Credits-Charged": header("Always 0."),
          "X-Type": { ...header("The `type` of the request, or `other`; the type is not detected."), required: false },
        },
        content: {
          "image/png": binaryFile,
          "image/jpeg": binaryFile,
          "image/webp": binaryFile,
          "application/zip": binaryFile,
          "application/json": { schema: resultSchema },
        },
      },
      ...failures,
      504: failure("Processing the image took longer than `INFERENCE_TIMEOUT_MS`."),
    },
  }),
  describeRoute({
    method: "get",
    path: "/v1.0/account",
    operationId: "removebgAccount",
    summary: "remove.bg's API 1.0: remaining calls",
    description: "For clients of remove.bg that ask before they send an image.",
    tags: ["remove.bg"],
    security: clientSecurity,
    responses: {
      200: {
        description: "All calls are free.",
        headers: commonHeaders,
        content: { "application/json": { schema: accountSchema } },
      },
      ...failures,
    },
  }),
] as const;
