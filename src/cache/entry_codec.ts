import { crc32 } from "node:zlib";
import type { Entry } from "./store.ts";

/*
 * An entry at rest, in any durable store (integers big-endian):
 *
 *   "CUT2"  uint32 CRC-32 of all that follows  float64 created
 *   uint8 length of content type  content type  uint8 length of etag  etag  bytes
 *
 * The checksum makes a truncated, corrupt or foreign value a miss instead of somebody's broken image.
 */
const MAGIC = 0x43555432;
const CHECKED_FROM = 8;
const STRINGS_FROM = 16;

/** The bytes under which a durable store keeps `entry`. */
export function encodeEntry(entry: Entry): Uint8Array<ArrayBuffer> {
  const encoded = new Uint8Array(encodedLength(entry));
  const view = new DataView(encoded.buffer);
  view.setUint32(0, MAGIC);
  view.setFloat64(CHECKED_FROM, entry.created);
  let at = STRINGS_FROM;
  for (const text of [entry.contentType, entry.etag]) {
    view.setUint8(at, text.length);
    new TextEncoder().encodeInto(text, encoded.subarray(at + 1));
    at += 1 + text.length;
  }
  encoded.set(entry.bytes, at);
  view.setUint32(4, crc32(encoded.subarray(CHECKED_FROM)));
  return encoded;
}

/** How many bytes {@link encodeEntry} makes of an entry; its texts are ASCII (RFC 9110, sections 8.3.1 and 8.8.3). */
export function encodedLength({ contentType, etag, bytes }: Entry): number {
  return STRINGS_FROM + 1 + contentType.length + 1 + etag.length + bytes.length;
}

/** The entry that `encodeEntry` made `encoded` of, or undefined where it is not whole or not ours. */
export function decodeEntry(encoded: Uint8Array<ArrayBuffer>): Entry | undefined {
  if (encoded.length < STRINGS_FROM + 2) return undefined;
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (view.getUint32(0) !== MAGIC || view.getUint32(4) !== crc32(encoded.subarray(CHECKED_FROM))) return undefined;
  let at = STRINGS_FROM;
  const text = () => {
    const from = at + 1;
    at = from + view.getUint8(at);
    return new TextDecoder().decode(encoded.subarray(from, at));
  };
  const contentType = text();
  const etag = text();
  return { created: view.getFloat64(CHECKED_FROM), contentType, etag, bytes: encoded.subarray(at) };
}
