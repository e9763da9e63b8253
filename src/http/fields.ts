import { requireFewFields, requireSimpleJson } from "./body_shape.ts";
import { HttpError } from "./errors.ts";
import { parseMultipart } from "./multipart.ts";

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

export interface ParseFieldsOptions {
  /** The value of a field that was sent more than once: by default none, and the request is refused. */
  repeated?: "last";
}

/**
 * Parses a multipart form (RFC 7578), a URL-encoded form (URL standard) or a flat JSON object into the same fields. Empty
 * fields are left out: HTML forms and many clients send a field that was not filled in as an empty one.
 * @throws {HttpError} 415 `unsupported_content_type`, 422 `invalid_json`, `invalid_form`, `invalid_request`.
 */
export function parseFields(
  contentType: string | undefined,
  body: Uint8Array<ArrayBuffer>,
  { repeated }: ParseFieldsOptions = {},
): Fields {
  const fields = new Map<string, string | FormFile>();
  for (const [name, value] of pairsOf(contentType, body)) {
    if (typeof value === "string" ? value === "" : value.bytes.length === 0) continue;
    if (fields.has(name) && repeated !== "last") {
      throw new HttpError(422, "invalid_request", `${name}: sent more than once`);
    }
    fields.set(name, value);
  }
  return fields;
}

type Pair = [name: string, value: string | FormFile];

function pairsOf(contentType: string | undefined, body: Uint8Array<ArrayBuffer>): Iterable<Pair> {
  const mediaType = mediaTypeOf(contentType);
  if (mediaType !== undefined && isJson(mediaType)) return pairsOfJson(body);
  if (mediaType === "application/x-www-form-urlencoded") return pairsOfUrlEncoded(body);
  if (mediaType === "multipart/form-data") return pairsOfMultipart(contentType!, body);
  throw new HttpError(
    415,
    "unsupported_content_type",
    `${mediaType === undefined ? "no Content-Type" : `unsupported Content-Type ${mediaType}`}; send ${ACCEPTED_TYPES}`,
  );
}

function pairsOfUrlEncoded(body: Uint8Array<ArrayBuffer>): URLSearchParams {
  requireFewFields(body);
  return new URLSearchParams(new TextDecoder().decode(body));
}

function pairsOfMultipart(contentType: string, body: Uint8Array<ArrayBuffer>): Pair[] {
  return parseMultipart(contentType, body).map(({ name, fileName, bytes }) => [
    name,
    fileName === undefined ? new TextDecoder().decode(bytes) : { name: fileName, bytes },
  ]);
}

function pairsOfJson(body: Uint8Array<ArrayBuffer>): Pair[] {
  const json = parseJson(body);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new HttpError(422, "invalid_request", "the body is not a JSON object");
  }
  return Object.entries(json).filter(([, value]) => value !== null).map(([name, value]) => {
    if (typeof value === "object") {
      throw new HttpError(422, "invalid_request", `${name}: must be a string, a number or a boolean`);
    }
    return [name, String(value)];
  });
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
 * Decodes base64 or base64url (RFC 4648), with or without a `data:…;base64,` prefix (RFC 2397).
 * @throws {HttpError} 400 `invalid_base64`, 422 `no_image`.
 */
export function decodeBase64(text: string, field: string): Uint8Array<ArrayBuffer> {
  const prefix = /^\s*data:[^,]{0,200},/i.exec(text)?.[0] ?? "";
  const base64 = prefix === "" ? text : text.slice(prefix.length);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(base64, { alphabet: /[-_]/.test(base64) ? "base64url" : "base64" });
  } catch {
    throw new HttpError(400, "invalid_base64", `${field} is not base64 (RFC 4648)`);
  }
  if (bytes.length === 0) throw new HttpError(422, "no_image", `${field} is empty`);
  return bytes;
}
