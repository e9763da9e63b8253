import { type Bytes, type Decoder, viewOf } from "./format.ts";
import { magickDecoder } from "./magick.ts";

// TIFF 6.0 (Adobe, 1992), and BigTIFF, whose numbers have 8 bytes.

const TAG = { height: 257, stripOffsets: 273, rowsPerStrip: 278, stripBytes: 279 };
const TILE_TAG = { width: 322, height: 323, offsets: 324, bytes: 325 };
const WIDTH = 256;
const [SHORT, LONG, LONG8] = [3, 4, 16];
const SIZES: Record<number, number> = { [SHORT]: 2, [LONG]: 4, [LONG8]: 8 };

const magickTiff = magickDecoder("TIFF");

/** Decodes the first page: the others may be many, and large. */
export const decodeTiff: Decoder = (bytes, checkSize) => {
  refuseMissingRows(bytes);
  return magickTiff(bytes, checkSize);
};

/**
 * ImageMagick leaves tiles black that the file does not have.
 * @throws {Error} if the file ends before one of its strips or tiles does.
 */
function refuseMissingRows(bytes: Bytes): void {
  const page = tryToRead(bytes);
  const number = (tag: number) => page.values(tag, 1)[0];
  const [width = 0, height = 0] = [number(WIDTH), number(TAG.height)];
  const tiled = page.has(TILE_TAG.offsets);
  const rows = (tiled ? number(TILE_TAG.height) : number(TAG.rowsPerStrip)) ?? height;
  const across = tiled ? Math.ceil(width / (number(TILE_TAG.width) ?? width)) : 1;
  const inPlane = across * Math.ceil(height / rows);
  const limit = Math.ceil(bytes.length / 2);
  const offsets = page.values(tiled ? TILE_TAG.offsets : TAG.stripOffsets, limit);
  const lengths = page.values(tiled ? TILE_TAG.bytes : TAG.stripBytes, limit);
  const missing = offsets.findIndex((offset, i) => offset + (lengths[i] ?? 0) > bytes.length);
  if (missing < 0) return;
  const came = Math.max(0, (bytes.length - offsets[missing]) / (lengths[missing] || 1));
  const row = (Math.floor(missing % inPlane / across) + (tiled ? 0 : came)) * rows;
  throw new Error(`the file ends after ${Math.floor(100 * row / height) || 0} % of its rows`);
}

function tryToRead(bytes: Bytes): Page {
  try {
    return readFirstPage(bytes);
  } catch (error) {
    throw new Error("the file ends before its directory", { cause: error });
  }
}

interface Page {
  has(tag: number): boolean;
  /** At most so many whole numbers of a tag; none if it is missing, or lies outside of the file. */
  values(tag: number, limit: number): number[];
}

function readFirstPage(bytes: Bytes): Page {
  const view = viewOf(bytes);
  const little = bytes[0] === 0x49;
  const big = view.getUint16(2, little) === 43;
  const [word, entry] = big ? [8, 20] : [4, 12];
  const read = (at: number, size: number) =>
    size === 8
      ? Number(view.getBigUint64(at, little))
      : size === 4
      ? view.getUint32(at, little)
      : view.getUint16(at, little);
  const start = read(word, word);
  const [count, first] = big ? [read(start, 8), start + 8] : [read(start, 2), start + 2];
  if (first + count * entry > bytes.length) throw new Error("its directory has more entries than the file");
  const places = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const at = first + i * entry;
    if (!places.has(read(at, 2))) places.set(read(at, 2), at);
  }
  return {
    has: (tag) => places.has(tag),
    values(tag, limit) {
      const at = places.get(tag);
      const size = at === undefined ? undefined : SIZES[read(at + 2, 2)];
      if (at === undefined || size === undefined) return [];
      const length = Math.min(read(at + 4, word), limit);
      const from = length * size > word ? read(at + 4 + word, word) : at + 4 + word;
      if (from + length * size > bytes.length) throw new Error("the file ends before its directory");
      return Array.from({ length }, (_, i) => read(from + i * size, size));
    },
  };
}
