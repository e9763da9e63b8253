import { crc32 } from "node:zlib";
import type { Entry } from "./store.ts";

/*
 * An entry at rest, in any durable store (integers big-endian):
 *
 *   "CUT1"  uint32 CRC-32 of all that follows  float64 created  uint8 length of content type  content type  bytes
 *
 * The checksum makes a truncated, corrupt or foreign value a miss instead of somebody's broken image.
 */
const MAGIC = 0x43555431;
const FIXED_BYTES = 4 + 4 + 8 + 1;

/** The bytes under which a durable store keeps `entry`. */
export function encodeEntry(entry: Entry): Uint8Array<ArrayBuffer> {
  const contentType = new TextEncoder().encode(entry.contentType);
  const encoded = new Uint8Array(FIXED_BYTES + contentType.length + entry.bytes.length);
  const view = new DataView(encoded.buffer);
  view.setUint32(0, MAGIC);
  view.setFloat64(8, entry.created);
  view.setUint8(16, contentType.length);
  encoded.set(contentType, FIXED_BYTES);
  encoded.set(entry.bytes, FIXED_BYTES + contentType.length);
  view.setUint32(4, crc32(encoded.subarray(8)));
  return encoded;
}

/** How many bytes `encodeEntry` makes of `entry`; content types are ASCII (RFC 9110, section 8.3.1). */
export function encodedLength({ contentType, bytes }: Entry): number {
  return FIXED_BYTES + contentType.length + bytes.length;
}

/** The entry that `encodeEntry` made `encoded` of, or undefined where it is not whole or not ours. */
export function decodeEntry(encoded: Uint8Array<ArrayBuffer>): Entry | undefined {
  if (encoded.length < FIXED_BYTES) return undefined;
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (view.getUint32(0) !== MAGIC || view.getUint32(4) !== crc32(encoded.subarray(8))) return undefined;
  const bytesAt = FIXED_BYTES + view.getUint8(16);
  return {
    created: view.getFloat64(8),
    contentType: new TextDecoder().decode(encoded.subarray(FIXED_BYTES, bytesAt)),
    bytes: encoded.subarray(bytesAt),
  };
}
