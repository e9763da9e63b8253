import { HttpError } from "./errors.ts";

/*
 * Bounds on the structure of bodies, checked before a parser runs. Parsers work on the main thread, and their time depends
 * on the structure, not on the size: a form of 200,000 parts held all requests up for 2.1 s, 5 MB of nested JSON for 0.6 s.
 * The checks go through the bytes once and stop at the bound. `multipart.ts` bounds the parts of its forms while it parses.
 */

/** Parts of a form, or fields of a URL-encoded one. Every API takes fewer than 30. */
export const MAX_PARTS = 100;

/** The depth of nested objects and arrays. Every API takes at most 3 levels. */
const MAX_DEPTH = 32;

/** Bytes of JSON outside of its strings: punctuation, numbers, spaces. Images are strings. */
const MAX_STRUCTURE_BYTES = 65_536;

const QUOTE = 0x22;
const AMPERSAND = 0x26;
const BACKSLASH = 0x5c;
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/** @throws {HttpError} 422 `invalid_json` if the JSON has more structure than any request needs. */
export function requireSimpleJson(body: Uint8Array): void {
  let depth = 0;
  let structureBytes = 0;
  for (let at = 0; at < body.length; at++) {
    if (++structureBytes > MAX_STRUCTURE_BYTES) {
      throw new HttpError(
        422,
        "invalid_json",
        `the JSON has more than ${MAX_STRUCTURE_BYTES} bytes outside strings`,
      );
    }
    const byte = body[at];
    if (byte === QUOTE) at = endOfString(body, at);
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      if (++depth > MAX_DEPTH) {
        throw new HttpError(422, "invalid_json", `the JSON is nested more than ${MAX_DEPTH} levels deep`);
      }
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth--;
  }
}

/** The index of the quotation mark that ends the string which begins at `start`, or the end of the body. */
function endOfString(body: Uint8Array, start: number): number {
  for (let end = body.indexOf(QUOTE, start + 1); end !== -1; end = body.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (body[end - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return body.length;
}

/** @throws {HttpError} 422 `invalid_form` if the URL-encoded form has more fields than any request needs. */
export function requireFewFields(body: Uint8Array): void {
  let fields = 1;
  for (let at = body.indexOf(AMPERSAND); at !== -1; at = body.indexOf(AMPERSAND, at + 1)) {
    if (++fields > MAX_PARTS) throw new HttpError(422, "invalid_form", `the form has more than ${MAX_PARTS} fields`);
  }
}
