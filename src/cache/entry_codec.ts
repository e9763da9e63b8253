import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { Layout } from "../base/layout.ts";
import type { Entry } from "./store.ts";

/*
 * The binary format of a stored entry (integers are big-endian):
 *
 *   "CUT3"  uint32 CRC-32 of the rest  float64 created
 *   6 × uint32 width, height, and the foreground's left, top, width, height; all 0 without a layout
 *   uint8 length of content type  content type  uint8 length of etag  etag  bytes
 *
 * The ASCII format, for stores that take text, with single spaces between the fields:
 *
 *   "CUT4"  CRC-32 of the rest, in 8 hexadecimal digits  created
 *   width, height, and the foreground's left, top, width, height, as above  content type  etag  bytes in base64
 *
 * The base64 covers the file alone, so that a JSON response can contain it unchanged.
 *
 * Because of the checksum, a truncated, corrupt or foreign value is a miss and never a broken image.
 */
const MAGIC = 0x43555433;
/** Offsets in bytes. The checksum covers everything from `CHECKED_FROM`. */
const CHECKED_FROM = 8;
const LAYOUT_FROM = 16;
const STRINGS_FROM = 40;

const TEXT_MAGIC = "CUT4 ";
/** In characters: the magic, 8 digits and a space. */
const TEXT_CHECKED_FROM = 14;
/** The number of fields between the checksum and the base64. */
const TEXT_FIELDS = 9;
/** In characters. All fields before the base64 are shorter together. */
const MAX_TEXT_HEADER = 1024;

/** Encodes an entry for a store that takes bytes. */
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

/** In bytes. Content type and etag are ASCII (RFC 9110, sections 8.3.1 and 8.8.3). */
function encodedLength({ contentType, etag, bytes }: Entry): number {
  return STRINGS_FROM + 1 + contentType.length + 1 + etag.length + bytes.length;
}

/** Reverses {@link encodeEntry}; undefined if the value is truncated, corrupt or foreign. */
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
  const layout = layoutOf([0, 1, 2, 3, 4, 5].map((i) => view.getUint32(LAYOUT_FROM + 4 * i)));
  const created = view.getFloat64(CHECKED_FROM);
  return { created, contentType, etag, bytes: encoded.subarray(at), ...(layout && { layout }) };
}

/** Encodes an entry for a store that takes text. */
export function encodeEntryAsText(entry: Entry): string {
  const checked = textHeader(entry) + entry.bytes.toBase64();
  return textPrefix(checked) + checked;
}

/** The number of characters that {@link encodeEntryAsText} returns, without encoding the entry. */
export function encodedTextLength(entry: Entry): number {
  return TEXT_CHECKED_FROM + textHeader(entry).length + Math.ceil(entry.bytes.length / 3) * 4;
}

/**
 * Reverses {@link encodeEntryAsText}; undefined if the value is truncated, corrupt or foreign. The file stays in base64
 * until its bytes are read.
 * @param encoded ASCII
 */
export function decodeEntryFromText(encoded: Uint8Array<ArrayBuffer>): Entry | undefined {
  const start = Buffer.from(encoded.subarray(0, MAX_TEXT_HEADER)).toString("latin1");
  if (!start.startsWith(textPrefix(encoded.subarray(TEXT_CHECKED_FROM)))) return undefined;
  const fields = start.slice(TEXT_CHECKED_FROM).split(" ", TEXT_FIELDS);
  if (fields.length < TEXT_FIELDS) return undefined;
  const [contentType, etag] = fields.slice(-2);
  const [created, ...numbers] = fields.slice(0, -2).map(Number);
  if (![created, ...numbers].every(Number.isFinite)) return undefined;
  const from = TEXT_CHECKED_FROM + fields.reduce((length, field) => length + field.length + 1, 0);
  if (from > encoded.length) return undefined;
  const layout = layoutOf(numbers);
  return lazyEntry({ created, contentType, etag, ...(layout && { layout }) }, encoded.subarray(from));
}

/** An entry whose file is kept in base64, as ASCII, and decoded at the first read of `bytes`, which drops the base64. */
function lazyEntry(rest: Omit<Entry, "bytes" | "base64">, base64: Uint8Array<ArrayBuffer>): Entry {
  const file: { base64?: Uint8Array<ArrayBuffer>; bytes?: Uint8Array<ArrayBuffer> } = { base64 };
  const entry: Entry = {
    ...rest,
    get bytes() {
      if (file.bytes === undefined) {
        file.bytes = Uint8Array.fromBase64(new TextDecoder().decode(file.base64));
        file.base64 = undefined;
      }
      return file.bytes;
    },
  };
  // Not enumerable, because a copy of the entry reads `bytes` and must not keep the base64 as well.
  return Object.defineProperty(entry, "base64", { get: () => file.base64, enumerable: false });
}

/** The magic and the checksum, which precede the checked text. */
function textPrefix(checked: Uint8Array | string): string {
  return `${TEXT_MAGIC}${crc32(checked).toString(16).padStart(8, "0")} `;
}

function textHeader({ created, layout, contentType, etag }: Entry): string {
  return [created, ...numbersOf(layout), contentType, etag, ""].join(" ");
}

function numbersOf(layout: Layout | undefined): number[] {
  if (layout === undefined) return [0, 0, 0, 0, 0, 0];
  const { width, height, foreground } = layout;
  return [width, height, foreground.left, foreground.top, foreground.width, foreground.height];
}

function layoutOf(numbers: readonly number[]): Layout | undefined {
  const [width, height, left, top, foregroundWidth, foregroundHeight] = numbers;
  if (width === 0) return undefined;
  return { width, height, foreground: { left, top, width: foregroundWidth, height: foregroundHeight } };
}
