import { z } from "zod";
import { renderOptionsSchema } from "../../render/options.ts";
import {
  accessCodes,
  binaryFile,
  bodyCodes,
  cacheControlParameter,
  clientSecurity,
  commonHeaders,
  cutoutHeaders,
  describeRoute,
  fileSchema,
  header,
  imageCodes,
  imageUrlCodes,
  problems,
  withoutDefaults,
} from "../shared/openapi.ts";
import { imageParameter } from "../shared/parameters.ts";

const files = {
  "image/png": binaryFile,
  "image/webp": binaryFile,
  "image/jpeg": binaryFile,
  "application/zip": binaryFile,
};

const optionsQuery = renderOptionsSchema.in.extend({
  model: z.string().optional().describe("One of the models that `GET /metadata` lists."),
});
const postedOptions = withoutDefaults(optionsQuery);
const jsonRequestSchema = postedOptions.extend({
  image_base64: z.string().optional().describe("The image file in base64, with or without a `data:` prefix."),
  image_url: z.url({ protocol: /^https?$/ }).optional().describe("The image's URL."),
});
const formRequestSchema = jsonRequestSchema.extend({
  file: fileSchema("The image file.").optional(),
  background_image: fileSchema("An image to put behind the subject.").optional(),
});

export const cutoutsPaths = [
  describeRoute({
    method: "post",
    path: "/cutouts",
    operationId: "createCutout",
    summary: "Removes the background from an image",
    description:
      "Send the image itself, or one of `file`, `image_base64` and `image_url`. Options may be in the query " +
      "or in the body. `format` sets the format of the cutout; without it, `Accept` does.",
    tags: ["cutouts"],
    security: clientSecurity,
    request: {
      query: postedOptions,
      headers: cacheControlParameter.extend({
        "Accept": z.string().optional().meta({
          description: "The formats that the client accepts.",
          example: "image/webp",
        }),
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
          ...cutoutHeaders,
          "Location": header("The URL at which GET returns this cutout."),
          "Content-Disposition": header("A file name, derived from the image's name."),
        },
        content: files,
      },
      ...problems(
        ...accessCodes,
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
    operationId: "getCutout",
    summary: "Returns a cutout from the cache",
    description: "Clients that know the image's digest can skip the upload.",
    tags: ["cutouts"],
    security: clientSecurity,
    request: {
      params: imageParameter,
      query: optionsQuery,
      headers: cacheControlParameter.extend({
        "If-None-Match": z.string().optional().describe("Entity tags of the copies that the client has."),
        "Prefer": z.string().optional().meta({
          description: "`handling=lenient` (RFC 7240): 204 instead of 404, which every browser logs as an error.",
          example: "handling=lenient",
        }),
      }),
    },
    responses: {
      200: {
        description: "The cutout. Shared caches may keep it, unless the server requires tokens.",
        headers: cutoutHeaders,
        content: files,
      },
      204: {
        description: "The cache does not have this cutout, and the client asked not to get an error.",
        headers: { ...commonHeaders, "Preference-Applied": header("`handling=lenient`.") },
      },
      304: { description: "The client's copy is current.", headers: cutoutHeaders },
      ...problems(
        ...accessCodes,
        ...imageCodes,
        "invalid_digest",
        "not_cached",
        "invalid_request",
        "invalid_options",
        "roi_exceeds_bounds",
        "roi_region_empty",
        "store_unavailable",
      ),
    },
  }),
] as const;
