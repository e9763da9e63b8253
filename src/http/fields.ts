import { requireFewParts, requireSimpleJson } from "./body_shape.ts";
import { HttpError } from "./errors.ts";

/** A file of a form. */
export interface FormFile {
  /** The sender's file name. Untrusted. */
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The fields of a body by name. Numbers and booleans of JSON are given as text. */
export type Fields = ReadonlyMap<string, string | FormFile>;

const ACCEPTED_TYPES = "multipart/form-data, application/x-www-form-urlencoded or application/json";

/** The media type of a `Content-Type` header, in lower case and without parameters. */
export function mediaTypeOf(contentType: string | undefined): string | undefined {
  return contentType?.split(";")[0].trim().toLowerCase();
}

/** Whether a media type is JSON (RFC 6839, section 3.1). */
export function isJson(mediaType: string): boolean {
  return mediaType === "application/json" || mediaType.endsWith("+json");
}

/**
 * Parses a multipart form (RFC 7578), a URL-encoded form (URL standard) or a flat JSON object into the same fields.
 * @throws {HttpError} 415 `unsupported_content_type`, 422 `invalid_json`, `invalid_form`, `invalid_request`.
 */
export async function parseFields(contentType: string | undefined, body: Uint8Array<ArrayBuffer>): Promise<Fields> {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType !== undefined && isJson(mediaType)) return fieldsOfJson(body);
  if (mediaType === "multipart/form-data" || mediaType === "application/x-www-form-urlencoded") {
    return await fieldsOfForm(contentType!, body);
  }
  throw new HttpError(
    415,
    "unsupported_content_type",
    `${mediaType === undefined ? "no Content-Type" : `unsupported Content-Type ${mediaType}`}; send ${ACCEPTED_TYPES}`,
  );
}

async function fieldsOfForm(contentType: string, body: Uint8Array<ArrayBuffer>): Promise<Fields> {
  requireFewParts(contentType, body);
  let form: FormData;
  try {
    form = await new Response(body, { headers: { "Content-Type": contentType } }).formData();
  } catch {
    throw new HttpError(422, "invalid_form", "the body does not match its Content-Type");
  }
  const fields = new Map<string, string | FormFile>();
  for (const [name, value] of form) {
    if (fields.has(name)) throw new HttpError(422, "invalid_request", `${name}: sent more than once`);
    fields.set(name, typeof value === "string" ? value : { name: value.name, bytes: await value.bytes() });
  }
  return fields;
}

function fieldsOfJson(body: Uint8Array<ArrayBuffer>): Fields {
  const json = parseJson(body);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new HttpError(422, "invalid_request", "the body is not a JSON object");
  }
  const fields = new Map<string, string | FormFile>();
  for (const [name, value] of Object.entries(json)) {
    if (value === null) continue;
    if (typeof value === "object") {
      throw new HttpError(422, "invalid_request", `${name}: must be a string, a number or a boolean`);
    }
    fields.set(name, String(value));
  }
  return fields;
}

/**
 * Parses JSON of a request.
 * @param hint ends the message of the error.
 * @throws {HttpError} 422 `invalid_json`, also if it has more structure than any request needs.
 */
export function parseJson(body: Uint8Array<ArrayBuffer>, hint = ""): unknown {
  requireSimpleJson(body);
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new HttpError(422, "invalid_json", `the body is not JSON${hint}`);
  }
}

/**
 * Decodes base64 (RFC 4648), with or without a `data:…;base64,` prefix (RFC 2397).
 * @throws {HttpError} 400 `invalid_base64`.
 */
export function decodeBase64(text: string, field: string): Uint8Array<ArrayBuffer> {
  const prefix = /^data:[^,]{0,200},/.exec(text)?.[0] ?? "";
  try {
    return Uint8Array.fromBase64(prefix === "" ? text : text.slice(prefix.length));
  } catch {
    throw new HttpError(400, "invalid_base64", `${field} is not base64 (RFC 4648)`);
  }
}
