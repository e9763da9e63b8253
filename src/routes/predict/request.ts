import type { CutoutRequest } from "../../cutouts/request.ts";
import { HttpError } from "../../http/errors.ts";
import { decodeBase64, isJson, mediaTypeOf, parseJson } from "../../http/fields.ts";
import { defaultRenderOptions, renderOptionNames } from "../../render/options.ts";
import { describeIssues } from "../shared/parameters.ts";
import { predictRequestSchema } from "./openapi.ts";

const EXPECTED = `send {"file_path": string, "img_base64": string}`;

/** @throws {HttpError} 415 if the request declares another type than JSON. */
export function requireJson(contentType: string | undefined): void {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === undefined || isJson(mediaType)) return;
  throw new HttpError(415, "unsupported_content_type", `unsupported Content-Type ${mediaType}; send application/json`);
}

/** @throws {HttpError} 400 `invalid_base64`, 422 `invalid_json`, `invalid_request`. */
export function parseRequest(
  body: Uint8Array<ArrayBuffer>,
): Pick<CutoutRequest, "image" | "name" | "model" | "render"> {
  const json = parseJson(body, `; ${EXPECTED}`);
  const parsed = predictRequestSchema.safeParse(json);
  if (!parsed.success) {
    throw new HttpError(
      422,
      "invalid_request",
      `${describeIssues(parsed.error, "body", renderOptionNames)}; ${EXPECTED}`,
    );
  }
  const { file_path: name, img_base64, model, options: render = defaultRenderOptions } = parsed.data;
  return { image: decodeBase64(img_base64, "img_base64"), name, model, render };
}
