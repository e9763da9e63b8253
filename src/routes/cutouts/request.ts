import type { Context } from "hono";
import { sha256 } from "../../base/hash.ts";
import { HttpError } from "../../http/errors.ts";
import { decodeBase64, type Fields, type FormFile, mediaTypeOf, parseFields } from "../../http/fields.ts";
import {
  defaultRenderOptions,
  renderOptionNames,
  type RenderOptions,
  renderOptionsSchema,
} from "../../render/options.ts";
import { negotiate } from "../shared/negotiation.ts";
import { describeIssues } from "../shared/parameters.ts";

/** Options as text, from the query or the body. */
export type Options = Readonly<Record<string, string>>;

/** An image or its URL, and its name. */
type Source =
  & { readonly name?: string }
  & (
    | { readonly image: Uint8Array<ArrayBuffer>; readonly url?: undefined }
    | { readonly url: string; readonly image?: undefined }
  );

export type ParsedRequest = Source & {
  /** From the query and the body together. */
  readonly options: Options;
  /** A picture to put behind the subject. */
  readonly background?: Uint8Array<ArrayBuffer>;
};

const SOURCES = ["file", "image_base64", "image_url"] as const;

/** Names that other services have for `file`. */
const FILE_NAMES: ReadonlySet<string> = new Set(["image", "image_file"]);

const EXPECTED = "send the image itself, or one of the fields file, image_base64 and image_url";

/** @throws {HttpError} 400, 415 or 422 if the body is not a request with one image. */
export async function parseRequest(
  contentType: string | undefined,
  body: Uint8Array<ArrayBuffer>,
  query: Record<string, string>,
): Promise<ParsedRequest> {
  if (body.length === 0) throw new HttpError(422, "no_image", `the body is empty; ${EXPECTED}`);
  if (isImageItself(contentType, body)) return { image: body, options: query };
  const fields = withFileNames(parseFields(contentType, body));
  const options: Record<string, string> = { ...query };
  let background: Uint8Array<ArrayBuffer> | undefined;
  for (const [name, value] of fields) {
    if (SOURCES.some((source) => source === name)) continue;
    if (name in query) throw new HttpError(422, "invalid_request", `${name}: is in both the query and the body`);
    if (typeof value === "string") options[name] = value;
    else if (name === "background_image") options[name] = await sha256(background = value.bytes);
    else throw new HttpError(422, "invalid_request", `${name}: is a file, not an option`);
  }
  return { ...sourceOf(fields), options, background };
}

/**
 * Whether the body is an image rather than a form. The bytes decide as well, since curl labels everything that
 * `--data-binary` sends as a form, and httpie labels it as JSON. Text has no control characters in its first bytes; every
 * image format has.
 */
function isImageItself(contentType: string | undefined, body: Uint8Array): boolean {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === undefined || mediaType === "application/octet-stream" || mediaType.startsWith("image/")) {
    return true;
  }
  if (mediaType === "multipart/form-data") return false;
  return body.subarray(0, 64).some((byte) => byte < 0x09 || byte === 0xff);
}

/** The fields with an image under its own name. */
function withFileNames(fields: Fields): Fields {
  const named = new Map<string, string | FormFile>();
  for (const [sent, value] of fields) {
    const name = FILE_NAMES.has(sent) ? "file" : sent;
    if (named.has(name)) {
      throw new HttpError(422, "several_images", `send one image, not both ${sent} and another file`);
    }
    named.set(name, value);
  }
  return named;
}

function sourceOf(fields: Fields): Source {
  const given = SOURCES.filter((source) => fields.has(source));
  if (given.length === 0) throw new HttpError(422, "no_image", EXPECTED);
  if (given.length > 1) throw new HttpError(422, "several_images", `send only one of these: ${given.join(", ")}`);
  const [source] = given;
  const value = fields.get(source)!;
  if (source === "file") {
    if (typeof value === "string") {
      throw new HttpError(
        422,
        "invalid_request",
        "file: is text, not a file; with curl, write -F file=@photo.jpg; send text as image_base64 or image_url",
      );
    }
    return { image: value.bytes, name: value.name || undefined };
  }
  if (typeof value !== "string") throw new HttpError(422, "invalid_request", `${source}: is a file, not text`);
  return source === "image_url" ? { url: value, name: value } : { image: decodeBase64(value, source) };
}

/**
 * The format that `Accept` asks for (RFC 9110, section 12.5.1), PNG by default.
 * @throws {HttpError} 406 `not_acceptable`
 */
export function acceptedFormat(c: Context): string {
  const type = negotiate(c, ["image/png", "image/webp", "image/jpeg"]);
  if (type !== undefined) return type.slice("image/".length);
  throw new HttpError(
    406,
    "not_acceptable",
    "cutouts are image/png, image/webp or image/jpeg; Accept allows none of them",
  );
}

/** @throws {HttpError} 422 `invalid_options` */
export function parseOptions({ model, ...options }: Options, root: string): { model?: string; render: RenderOptions } {
  if (Object.keys(options).length === 0) return { model, render: defaultRenderOptions };
  const parsed = renderOptionsSchema.safeParse(options);
  if (parsed.success) return { model, render: parsed.data };
  throw new HttpError(422, "invalid_options", describeIssues(parsed.error, root, [...renderOptionNames, "model"]));
}
