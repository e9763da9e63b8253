import { crc32 } from "node:zlib";
import type { Layout } from "../inference/geometry.ts";
import type { Entry } from "./store.ts";

/*
 * An entry at rest, in any durable store (integers big-endian):
 *
 *   "CUT3"  uint32 CRC-32 of all that follows  float64 created
 *   6 × uint32 width, height, and the foreground's left, top, width, height; all 0 where there is no layout
 *   uint8 length of content type  content type  uint8 length of etag  etag  bytes
 *
 * The checksum makes a truncated, corrupt or foreign value a miss instead of somebody's broken image.
 */
const MAGIC = 0x43555433;
const CHECKED_FROM = 8;
const LAYOUT_FROM = 16;
const STRINGS_FROM = 40;

/** The bytes under which a durable store keeps `entry`. */
export function encodeEntry(entry: Entry): Uint8Array<ArrayBuffer> {
  const encoded = new Uint8Array(encodedLength(entry));
  const view = new DataView(encoded.buffer);
  view.setUint32(0, MAGIC);
  view.setFloat64(CHECKED_FROM, entry.created);
  numbersOf(entry.layout).forEach((number, i) => view.setUint32(LAYOUT_FROM + 4 * i, number));
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
  const layout = layoutIn(view);
  const created = view.getFloat64(CHECKED_FROM);
  return { created, contentType, etag, bytes: encoded.subarray(at), ...(layout && { layout }) };
}

function numbersOf(layout: Layout | undefined): number[] {
  if (layout === undefined) return [0, 0, 0, 0, 0, 0];
  const { width, height, foreground } = layout;
  return [width, height, foreground.left, foreground.top, foreground.width, foreground.height];
}

function layoutIn(view: DataView): Layout | undefined {
  const number = (i: number) => view.getUint32(LAYOUT_FROM + 4 * i);
  if (number(0) === 0) return undefined;
  const foreground = { left: number(2), top: number(3), width: number(4), height: number(5) };
  return { width: number(0), height: number(1), foreground };
}
