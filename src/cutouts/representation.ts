import type { Entry } from "../cache/store.ts";

/** JSON with a file in base64 within: `before`, the base64, `after`, both of them ASCII. */
export function base64Json(
  before: string,
  file: Pick<Entry, "bytes" | "base64">,
  after: string,
): Pick<Entry, "bytes" | "ready" | "contentType"> {
  // From a store that has base64 itself, it is taken over as it is.
  const base64 = file.base64 ?? file.bytes.toBase64();
  const json = new Uint8Array(before.length + base64.length + after.length);
  const encoder = new TextEncoder();
  encoder.encodeInto(before, json);
  if (typeof base64 === "string") encoder.encodeInto(base64, json.subarray(before.length));
  else json.set(base64, before.length);
  encoder.encodeInto(after, json.subarray(before.length + base64.length));
  const ready = { response: new Response(json), length: json.length };
  // The response has a copy. What waits to be collected makes V8 look for garbage, and requests wait for that.
  json.buffer.transfer(0);
  return { bytes: NOTHING, ready, contentType: "application/json" };
}

const NOTHING = new Uint8Array();
