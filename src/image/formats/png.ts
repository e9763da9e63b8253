import { Buffer } from "node:buffer";
import { constants, deflateSync, inflateSync } from "node:zlib";
// @ts-types="@types/pngjs"
import { PNG } from "pngjs";
import { ImageError } from "../../base/errors.ts";
import type { Density } from "../../base/pixels.ts";
import { type Chromaticities, type ColourTag, MAX_PROFILE_BYTES } from "../colour/tag.ts";
import { joinChunks, type PngChunk } from "./png_chunks.ts";
import { readExif, toDensity } from "./exif.ts";
import { asBuffer, asPixels, type Bytes, type Decoder, textAt, viewOf } from "./format.ts";

// W3C, "Portable Network Graphics", third edition.

/** pngjs is slow with many; 20 MB in the usual pieces of 8 KB are 2,500. */
const MAX_CHUNKS = 50_000;
/** A byte of deflate stands for that many at most (RFC 1951: two bits for 258 bytes). */
const DEFLATE_RATIO = 1032;

interface Chunk {
  readonly name: string;
  readonly data: Bytes;
}

/** Decodes a PNG file of any kind; 16 bits a channel become 8. */
export const decodePng: Decoder = (bytes, checkSize) =>
  Promise.resolve().then(() => {
    checkSize(readSize(bytes));
    const { chunks, end } = readChunks(bytes);
    const { data, width, height } = end === undefined
      ? PNG.sync.read(asBuffer(repaired(chunks)))
      : readWhole(bytes.subarray(0, end), chunks);
    const exif = find(chunks, "eXIf");
    return {
      ...asPixels({ data, width, height }),
      colour: readColour(chunks),
      orientation: exif && readExif(exif).orientation,
      density: readDensity(find(chunks, "pHYs")),
    };
  });

/** @throws {ImageError} `unsupported_format` for the files that Xcode puts into iPhone applications. */
function readSize(bytes: Bytes): { width: number; height: number } {
  if (textAt(bytes, 12, 4) === "CgBI") {
    throw new ImageError(
      "unsupported_format",
      "Apple's CgBI variant of PNG is not supported; save it as an ordinary PNG",
    );
  }
  if (bytes.length < 33 || textAt(bytes, 12, 4) !== "IHDR") throw new Error("it has no PNG header");
  const view = viewOf(bytes);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/**
 * The chunks, and where the last of them ends; undefined if the file does before it. Refuses two faults that pngjs does not
 * check: a second header with another size, and fewer pixels than that size needs.
 */
function readChunks(bytes: Bytes): { chunks: Chunk[]; end?: number } {
  const view = viewOf(bytes);
  const chunks: Chunk[] = [];
  let at = 8;
  while (at + 8 <= bytes.length) {
    if (chunks.length === MAX_CHUNKS) throw new Error(`more than ${MAX_CHUNKS} chunks`);
    const size = view.getUint32(at);
    const name = textAt(bytes, at + 4, 4);
    if ((name === "IHDR") !== (chunks.length === 0)) throw new Error("it has more than one header");
    if (name === "PLTE" && size > 3 * 256) throw new Error("its palette has more than 256 colours");
    chunks.push({ name, data: bytes.subarray(at + 8, at + 8 + size) });
    at += 12 + size;
    if (name === "IEND") break;
  }
  const { packed, rowBytes } = pixelData(chunks);
  if (packed.reduce((sum, { length }) => sum + length, 0) * DEFLATE_RATIO < rowBytes) {
    throw new Error("it holds fewer pixels than its header says");
  }
  const whole = chunks.at(-1)?.name === "IEND" && at <= bytes.length;
  return { chunks, end: whole ? at : undefined };
}

interface PixelData {
  readonly packed: Bytes[];
  /** How many bytes all rows are. */
  readonly rowBytes: number;
  readonly interlaced: boolean;
}

function pixelData(chunks: Chunk[]): PixelData {
  const header = chunks[0].data;
  const view = viewOf(header);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colourType, interlaced] = [header[8], header[9], header[12] === 1];
  const bitsPerPixel = depth * ({ 2: 3, 4: 2, 6: 4 }[colourType] ?? 1);
  const passes = interlaced ? adam7(width, height) : [[width, height]];
  const rowBytes = passes.reduce((sum, [w, h]) => sum + (w > 0 ? h * (1 + Math.ceil(w * bitsPerPixel / 8)) : 0), 0);
  const packed = chunks.filter(({ name, data }) => name === "IDAT" && data.length > 0).map(({ data }) => data);
  return { packed, rowBytes, interlaced };
}

/** The sizes of the seven images that an interlaced PNG consists of. */
function adam7(width: number, height: number): [width: number, height: number][] {
  const passes = [[0, 8, 0, 8], [4, 8, 0, 8], [0, 4, 4, 8], [2, 4, 0, 4], [0, 2, 2, 4], [1, 2, 0, 2], [0, 1, 1, 2]];
  return passes.map(([x, xStep, y, yStep]) => [Math.ceil((width - x) / xStep), Math.ceil((height - y) / yStep)]);
}

function readWhole(file: Bytes, chunks: Chunk[]): PNG {
  const { packed, rowBytes, interlaced } = pixelData(chunks);
  try {
    // pngjs unpacks interlaced pixels without a limit.
    if (interlaced) inflateSync(Buffer.concat(packed), { maxOutputLength: rowBytes });
    return PNG.sync.read(asBuffer(file));
  } catch {
    return PNG.sync.read(asBuffer(repaired(chunks)));
  }
}

/**
 * A file of the same rows without data after the last of them, which pngjs refuses, and with an end.
 * @throws {Error} if rows are missing.
 */
function repaired(chunks: Chunk[]): Bytes {
  const { packed, rowBytes } = pixelData(chunks);
  const rows = inflateSync(Buffer.concat(packed), {
    finishFlush: constants.Z_SYNC_FLUSH,
    maxOutputLength: 2 * rowBytes + 65_536,
  });
  if (rows.length < rowBytes) {
    throw new Error(`the file ends after ${Math.floor(100 * rows.length / rowBytes)} % of its rows`);
  }
  const kept = chunks.filter(({ name }) => ["IHDR", "PLTE", "tRNS"].includes(name));
  const data = deflateSync(rows.subarray(0, rowBytes), { level: 0 });
  return joinChunks([
    ...kept.map(({ name, data }): PngChunk => [name, data]),
    ["IDAT", data],
    ["IEND", new Uint8Array()],
  ]);
}

function find(chunks: Chunk[], name: string): Bytes | undefined {
  return chunks.find((chunk) => chunk.name === name)?.data;
}

/** The colour space, by the chunk that takes precedence (4.3). */
function readColour(chunks: Chunk[]): ColourTag | undefined {
  const cicp = find(chunks, "cICP");
  if (cicp?.length === 4) return { kind: "cicp", primaries: cicp[0], transfer: cicp[1] };
  const icc = find(chunks, "iCCP");
  if (icc !== undefined) return readProfile(icc);
  const gama = find(chunks, "gAMA");
  if (find(chunks, "sRGB") !== undefined || gama?.length !== 4) return undefined;
  const gamma = viewOf(gama).getUint32(0) / 100_000;
  return gamma > 0 ? { kind: "gamma", gamma, chromaticities: readChromaticities(find(chunks, "cHRM")) } : undefined;
}

function readProfile(chunk: Bytes): ColourTag | undefined {
  try {
    // A name, a zero, and the number of the one compression there is.
    const packed = chunk.subarray(chunk.indexOf(0) + 2);
    const profile = new Uint8Array(inflateSync(packed, { maxOutputLength: MAX_PROFILE_BYTES }));
    return { kind: "icc", profile };
  } catch {
    return undefined;
  }
}

function readChromaticities(chunk: Bytes | undefined): Chromaticities | undefined {
  if (chunk?.length !== 32) return undefined;
  const view = viewOf(chunk);
  const [white, red, green, blue] = [0, 8, 16, 24].map((at): [number, number] => [
    view.getUint32(at) / 100_000,
    view.getUint32(at + 4) / 100_000,
  ]);
  const sensible = [white, red, green, blue].every(([x, y]) => x < 1 && y > 0.001 && y < 1);
  return sensible ? { white, red, green, blue } : undefined;
}

function readDensity(chunk: Bytes | undefined): Density | undefined {
  const METRE = 1;
  if (chunk?.length !== 9 || chunk[8] !== METRE) return undefined;
  const view = viewOf(chunk);
  return toDensity(view.getUint32(0), view.getUint32(4), 0.0254);
}
