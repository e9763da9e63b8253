import { z } from "zod";
import {
  binaryFile,
  cacheControlParameter,
  clientSecurity,
  commonHeaders,
  describeRoute,
  fileSchema,
  header,
  predictionHeadersDescribed,
} from "../shared/openapi.ts";
import { parametersSchema } from "./request.ts";

const errorSchema = z.object({
  errors: z.array(z.object({ title: z.string(), code: z.string(), detail: z.string().optional() })).min(1),
  request_id: z.string().optional().describe("Of a fault of ours: names the request in the server's log."),
}).meta({ id: "RemovebgErrors" });

const resultSchema = z.object({
  data: z.object({
    result_b64: z.string().describe("The result's file, in base64."),
    foreground_top: z.int(),
    foreground_left: z.int(),
    foreground_width: z.int(),
    foreground_height: z.int(),
  }),
}).meta({ id: "RemovebgResult" });

const credits = z.int().describe("Nothing is charged here.");
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
  400: failure("Something in the request is wrong, or the image is; each fault has a code."),
  403: failure("`auth_failed`: no API key, or another one."),
  429: failure("`rate_limit_exceeded`", { "Retry-After": header("When to come back, in seconds.") }),
  500: failure("Our fault; the log has the rest under the `request_id`."),
  503: failure("Too much waits, or the server is shutting down."),
};

const textFields = parametersSchema.omit({ image_file: true, bg_image_file: true }).partial();
const formFields = textFields.extend({
  image_file: fileSchema("The image, or one of `image_file_b64` and `image_url`.").optional(),
  bg_image_file: fileSchema("A picture to put the subject on.").optional(),
}).meta({ example: { image_file: "@photo.jpg" } });

export const removebgPaths = [
  describeRoute({
    method: "post",
    path: "/v1.0/removebg",
    summary: "As remove.bg's API 1.0",
    description: "The file, or with `Accept: application/json` the file in base64.",
    tags: ["remove.bg"],
    security: clientSecurity,
    request: {
      headers: cacheControlParameter.extend({
        "Accept": z.string().optional().meta({ description: "The file, or JSON.", example: "application/json" }),
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
          ...predictionHeadersDescribed,
          "X-Width": header("The result's width, in pixels."),
          "X-Height": header("The result's height, in pixels."),
          "X-Foreground-Top": header("Where the foreground is in the result, in pixels."),
          "X-Foreground-Left": header("The same."),
          "X-Foreground-Width": header("The same."),
          "X-Foreground-Height": header("The same."),
          "X-Credits-Charged": header("Always 0."),
          "X-Type": { ...header("What `type` asked for; it is not detected."), required: false },
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
      504: failure("The job took longer than `INFERENCE_TIMEOUT_MS`."),
    },
  }),
  describeRoute({
    method: "get",
    path: "/v1.0/account",
    summary: "As remove.bg's API 1.0: calls that are left",
    tags: ["remove.bg"],
    security: clientSecurity,
    responses: {
      200: {
        description: "Every call is free.",
        headers: commonHeaders,
        content: { "application/json": { schema: accountSchema } },
      },
      ...failures,
    },
  }),
] as const;
