import { type Bytes, type Decoder, viewOf } from "./format.ts";
import { magickDecoder } from "./magick.ts";

// TIFF 6.0 (Adobe, 1992), and BigTIFF, whose numbers have 8 bytes.

const TAG = {
  width: 256,
  height: 257,
  stripOffsets: 273,
  rowsPerStrip: 278,
  stripBytes: 279,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileBytes: 325,
};
const [SHORT, LONG, LONG8] = [3, 4, 16];
const SIZES: Record<number, number> = { [SHORT]: 2, [LONG]: 4, [LONG8]: 8 };

const magickTiff = magickDecoder("TIFF");

/** Decodes the first page: the others may be many, and large. */
export const decodeTiff: Decoder = (bytes, checkSize) => {
  const page = tryToRead(bytes);
  checkSize({ width: page.number(TAG.width, 0), height: page.number(TAG.height, 0) });
  refuseMissingRows(page, bytes.length);
  return magickTiff(bytes, checkSize);
};

/**
 * ImageMagick leaves tiles black that the file does not have.
 * @throws {Error} if the file ends before one of its strips or tiles does.
 */
function refuseMissingRows(page: Page, fileLength: number): void {
  const [width, height] = [page.number(TAG.width, 0), page.number(TAG.height, 0)];
  const tiled = page.has(TAG.tileOffsets);
  const rows = page.number(tiled ? TAG.tileHeight : TAG.rowsPerStrip, height);
  const across = tiled ? Math.ceil(width / page.number(TAG.tileWidth, width)) : 1;
  const inPlane = across * Math.ceil(height / rows);
  const offsets = page.numbers(tiled ? TAG.tileOffsets : TAG.stripOffsets);
  const lengths = page.numbers(tiled ? TAG.tileBytes : TAG.stripBytes);
  const missing = offsets.findIndex((offset, i) => offset + (lengths[i] ?? 0) > fileLength);
  if (missing < 0) return;
  const came = tiled ? 0 : Math.max(0, (fileLength - offsets[missing]) / (lengths[missing] || 1));
  const row = (Math.floor(missing % inPlane / across) + came) * rows;
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
  /** The whole numbers of a tag; none if it is missing. */
  numbers(tag: number): number[];
  /** The first of them. */
  number(tag: number, otherwise: number): number;
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
  const numbers = (tag: number): number[] => {
    const at = places.get(tag);
    const size = at === undefined ? undefined : SIZES[read(at + 2, 2)];
    if (at === undefined || size === undefined) return [];
    const length = read(at + 4, word);
    const from = length * size > word ? read(at + 4 + word, word) : at + 4 + word;
    if (from + length * size > bytes.length) throw new Error("its values lie outside the file");
    return Array.from({ length }, (_, i) => read(from + i * size, size));
  };
  return {
    has: (tag) => places.has(tag),
    numbers,
    number: (tag, otherwise) => numbers(tag)[0] ?? otherwise,
  };
}
