import { parse as parseDisposition } from "content-disposition";
import { Buffer } from "node:buffer";
import { MAX_PARTS } from "./body_shape.ts";
import { HttpError } from "./errors.ts";

/** A part of a multipart form. */
export interface Part {
  readonly name: string;
  /** The sender's file name; undefined if the part is not a file. Untrusted. */
  readonly fileName?: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Of one part, in bytes. */
const MAX_HEADER_BYTES = 16_384;

/**
 * Parses a multipart form (RFC 7578). The runtime's own parser takes a file that has only `filename*` (RFC 8187, as older
 * Python clients send it) for text, and ends a quoted name at its first semicolon.
 * @throws {HttpError} 422 `invalid_form`.
 */
export function parseMultipart(contentType: string, body: Uint8Array<ArrayBuffer>): Part[] {
  const [, quoted, token] = /;\s*boundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? token;
  if (boundary === undefined) throw invalid("Content-Type has no boundary");
  const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const opening = Buffer.from(`--${boundary}`);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const parts: Part[] = [];
  // Text before the first boundary is ignored (RFC 2046, section 5.1.1).
  let at = buffer.subarray(0, opening.length).equals(opening) ? 0 : buffer.indexOf(delimiter) + 2;
  if (at === 1) throw invalid("the body does not have the boundary that Content-Type announces");
  for (;;) {
    at += opening.length;
    if (buffer.toString("latin1", at, at + 2) === "--") return parts;
    const start = buffer.indexOf("\r\n", at) + 2;
    const end = buffer.indexOf(delimiter, Math.max(0, start - 2));
    if (start === 1 || end === -1) throw invalid("the body ends before its last boundary");
    if (parts.length === MAX_PARTS) throw invalid(`the form has more than ${MAX_PARTS} parts`);
    parts.push(parsePart(buffer.subarray(start, end)));
    at = end + 2;
  }
}

function parsePart(part: Buffer): Part {
  const end = part.subarray(0, MAX_HEADER_BYTES).indexOf("\r\n\r\n");
  if (end === -1) throw invalid("a part of the form has no headers");
  const headers = new Map(
    part.toString("utf8", 0, end).split("\r\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const disposition = headers.get("content-disposition") ?? "";
  // Browsers write a quote in a name as `%22`; other clients put a backslash before it.
  const { parameters } = parseDisposition(disposition, { multipart: !disposition.includes('\\"') });
  const { name, filename } = parameters;
  if (name === undefined) throw invalid("a part of the form has no name");
  // Some clients leave the file name out.
  const isFile = filename !== undefined ||
    /^(image\/|application\/octet-stream)/i.test(headers.get("content-type") ?? "");
  return { name, ...(isFile && { fileName: filename ?? "" }), bytes: new Uint8Array(part.subarray(end + 4)) };
}

function invalid(reason: string): HttpError {
  return new HttpError(422, "invalid_form", `the body does not match its Content-Type: ${reason}`);
}
