import { parseAccept } from "hono/utils/accept";
import { sha256 } from "../../base/hash.ts";
import { HttpError } from "../../http/errors.ts";
import { decodeBase64, type Fields, mediaTypeOf, parseFields } from "../../http/fields.ts";
import { faultsOf } from "../shared/parameters.ts";
import { defaultRenderOptions, type RenderOptions, renderOptionsSchema } from "../../render/options.ts";

/** As they came, in the query or the body. */
export type Options = Readonly<Record<string, string>>;

/** An image, or the address that it is to be fetched from, and what it is called. */
type Source =
  & { readonly name?: string }
  & (
    | { readonly image: Uint8Array<ArrayBuffer>; readonly url?: undefined }
    | { readonly url: string; readonly image?: undefined }
  );

export type CutoutRequest = Source & {
  /** From the query and the body together. */
  readonly options: Options;
  /** A picture to put the subject on. */
  readonly background?: Uint8Array<ArrayBuffer>;
};

const SOURCES = ["file", "image_base64", "image_url"] as const;
const WANTED = "send the image itself, or one of the fields file, image_base64 and image_url";

export async function parseBody(
  contentType: string | undefined,
  body: Uint8Array<ArrayBuffer>,
  query: Record<string, string>,
): Promise<CutoutRequest> {
  if (body.length === 0) throw new HttpError(422, "no_image", `the body is empty; ${WANTED}`);
  if (isImageItself(contentType, body)) return { image: body, options: query };
  const fields = await parseFields(contentType, body);
  const options: Record<string, string> = { ...query };
  let background: Uint8Array<ArrayBuffer> | undefined;
  for (const [name, value] of fields) {
    if (SOURCES.some((source) => source === name)) continue;
    if (name in query) throw new HttpError(422, "invalid_request", `${name}: is both in the query and in the body`);
    if (typeof value === "string") options[name] = value;
    else if (name === "background_image") options[name] = await sha256(background = value.bytes);
    else throw new HttpError(422, "invalid_request", `${name}: is a file, not an option`);
  }
  return { ...sourceOf(fields), options, background };
}

/**
 * Whether the body is an image and no form. Said by its bytes as well, since curl calls whatever `--data-binary` sends a
 * form and httpie calls it JSON: text has no control characters in its first bytes, and every image format has.
 */
function isImageItself(contentType: string | undefined, body: Uint8Array): boolean {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === undefined || mediaType === "application/octet-stream" || mediaType.startsWith("image/")) {
    return true;
  }
  if (mediaType === "multipart/form-data") return false;
  return body.subarray(0, 64).some((byte) => byte < 0x09 || byte === 0xff);
}

function sourceOf(fields: Fields): Source {
  const given = SOURCES.filter((source) => fields.has(source));
  if (given.length === 0) throw new HttpError(422, "no_image", WANTED);
  if (given.length > 1) throw new HttpError(422, "several_images", `send one of ${given.join(" and ")}, not both`);
  const [source] = given;
  const value = fields.get(source)!;
  if (source === "file") {
    if (typeof value === "string") {
      throw new HttpError(422, "invalid_request", "file: is text, not a file; with curl, write -F file=@photo.jpg");
    }
    return { image: value.bytes, name: value.name || undefined };
  }
  if (typeof value !== "string") throw new HttpError(422, "invalid_request", `${source}: is a file, not text`);
  return source === "image_url" ? { url: value, name: value } : { image: decodeBase64(value, source) };
}

/** In the order in which they are preferred where `Accept` does not say. */
const FORMATS = ["png", "webp", "jpeg"] as const;

/** `format` wins over `Accept` (RFC 9110, section 12.5.1). */
export function withAcceptedFormat(options: Options, accept: string | undefined): Options {
  // An empty list says nothing.
  if (options.format !== undefined || !accept?.trim()) return options;
  const ranges = parseAccept(accept);
  const quality = (format: string) => {
    const match = [`image/${format}`, "image/*", "*/*"].map((type) => ranges.find((range) => range.type === type));
    return match.find((range) => range !== undefined)?.q ?? 0;
  };
  const [best] = FORMATS.toSorted((a, b) => quality(b) - quality(a));
  if (quality(best) > 0) return { ...options, format: best };
  const message = `a cutout is one of ${
    FORMATS.map((format) => `image/${format}`).join(", ")
  }; Accept names none of them`;
  throw new HttpError(406, "not_acceptable", message);
}

export function parseOptions({ model, ...options }: Options, root: string): { model?: string; render: RenderOptions } {
  if (Object.keys(options).length === 0) return { model, render: defaultRenderOptions };
  const parsed = renderOptionsSchema.safeParse(options);
  if (parsed.success) return { model, render: parsed.data };
  throw new HttpError(422, "invalid_options", faultsOf(parsed.error, root));
}
