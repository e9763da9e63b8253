import { type Bytes, viewOf } from "./format.ts";

/** Bytes per value of the types for whole numbers (TIFF 6.0, section 2): BYTE, SHORT, LONG. */
const VALUE_BYTES: Record<number, number> = { 1: 1, 3: 2, 4: 4 };

/**
 * Reads the first directory of a TIFF file, or of EXIF data, which has the same layout.
 * @param wanted the tags to read; other tags, and values that are not whole numbers, are skipped.
 * @returns the values by tag. If a tag occurs twice, the first counts.
 * @throws {Error} if the directory or a value lies outside the file.
 */
export function readDirectory(bytes: Bytes, wanted: number[]): Map<number, number[]> {
  const view = viewOf(bytes);
  const little = isLittleEndian(bytes);
  const tags = new Map<number, number[]>();
  let at = view.getUint32(4, little) + 2;
  for (let left = view.getUint16(at - 2, little); left > 0; left--, at += 12) {
    const tag = view.getUint16(at, little);
    const size = VALUE_BYTES[view.getUint16(at + 2, little)];
    if (size === undefined || !wanted.includes(tag) || tags.has(tag)) continue;
    const count = view.getUint32(at + 4, little);
    // Up to four bytes of values stand in the entry itself.
    const from = count * size > 4 ? view.getUint32(at + 8, little) : at + 8;
    if (from + count * size > bytes.length) throw new Error(`the values of tag ${tag} lie outside the file`);
    const read = { 1: view.getUint8, 2: view.getUint16, 4: view.getUint32 }[size]!;
    tags.set(tag, Array.from({ length: count }, (_, i) => read.call(view, from + i * size, little)));
  }
  return tags;
}

/** Whether the low byte of a number comes first: such files begin with "I", the others with "M". */
export function isLittleEndian(bytes: Bytes): boolean {
  return bytes[0] === 0x49;
}
