import { inflateSync } from "node:zlib";
import utif from "utif2";
import { ImageError } from "../../base/errors.ts";
import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { asBuffer, asPixels, type Bytes, type Header } from "./format.ts";
import { type LzwVariant, MAX_CODES, readLzwCodes } from "./lzw.ts";
import { isLittleEndian, readDirectory } from "./tiff_directory.ts";

/*
 * TIFF 6.0 (Adobe, 1992). utif2 follows directories in circles and unpacks to any size, so this file reads and unpacks, and
 * utif2 only converts the samples to colours.
 */

const TAG = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  photometric: 262,
  stripOffsets: 273,
  samples: 277,
  rowsPerStrip: 278,
  stripLengths: 279,
  planar: 284,
  predictor: 317,
  palette: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileLengths: 325,
  extraSamples: 338,
  sampleFormat: 339,
};

/** Bits per sample that utif2 converts, by photometric interpretation: 0 is white, 0 is black, RGB, palette. */
const SUPPORTED_BITS: Record<number, number[]> = {
  0: [1, 4, 8, 16],
  1: [1, 2, 8, 16, 32],
  2: [8, 16, 32],
  3: [1, 2, 4, 8],
};

/** A tile may reach beyond the image, but real files have tiles of a few hundred pixels a side. */
const MAX_TILE_OVERHANG = 1024;

/** Unpacks a strip or tile into a block, which keeps its zeros if there is too little data. */
type Unpack = (packed: Bytes, block: Bytes) => void;

const unpackDeflate: Unpack = (packed, block) =>
  block.set(inflateSync(packed, { maxOutputLength: block.length }).subarray(0, block.length));

/** By the number of the compression. */
const UNPACKERS: Record<number, Unpack> = {
  1: (packed, block) => block.set(packed.subarray(0, block.length)),
  5: unpackLzw,
  8: unpackDeflate,
  32773: unpackBits,
  32946: unpackDeflate,
};

/** Reads the size; undefined if the file is not a TIFF of version 42. */
export function readTiffHeader(bytes: Bytes): Header | undefined {
  if (!["49492a00", "4d4d002a"].includes(bytes.subarray(0, 4).toHex())) return undefined;
  const tags = readDirectory(bytes, [TAG.width, TAG.height]);
  const [width, height] = [TAG.width, TAG.height].map((tag) => tags.get(tag)?.[0] ?? 0);
  return { type: "tiff", width, height, orientation: 1 };
}

/**
 * Decodes the first page: the others may be many, and large.
 * @throws {ImageError} `unsupported_format`.
 * @throws {Error} if the file is damaged.
 */
export function decodeTiff(bytes: Bytes): Promise<Pixels> {
  const tags = readDirectory(bytes, Object.values(TAG));
  const encoding = readEncoding(tags);
  const { width, height, bits, photometric, samples } = encoding;
  const data = unpackBlocks(bytes, tags, encoding);
  const kept = [TAG.palette, TAG.extraSamples, TAG.sampleFormat].map((tag) => [`t${tag}`, tags.get(tag)]);
  const shape = { t258: [bits], t262: [photometric], t277: [samples] };
  const page = { ...Object.fromEntries(kept), ...shape, width, height, data };
  return Promise.resolve(asPixels({ data: utif.toRGBA8(page), width, height }));
}

type Tags = Map<number, number[]>;

/** How the samples of a page are stored. */
interface Encoding extends Size {
  /** Of one sample. */
  readonly bits: number;
  /** Of one pixel. */
  readonly samples: number;
  readonly photometric: number;
  readonly predictor: number;
  readonly unpack: Unpack;
}

function firstValue(tags: Tags, tag: number, otherwise: number): number {
  return tags.get(tag)?.[0] ?? otherwise;
}

function readEncoding(tags: Tags): Encoding {
  const first = (tag: number, otherwise: number) => firstValue(tags, tag, otherwise);
  const bits = first(TAG.bits, 1);
  const samples = first(TAG.samples, 1);
  const compression = first(TAG.compression, 1);
  const photometric = first(TAG.photometric, bits === 1 ? 0 : 2);
  const predictor = first(TAG.predictor, 1);
  const unpack = UNPACKERS[compression];
  if (
    unpack === undefined || !SUPPORTED_BITS[photometric]?.includes(bits) || samples * bits > 128 ||
    first(TAG.planar, 1) !== 1 ||
    !(predictor === 1 || (predictor === 2 && (bits === 8 || bits === 16)))
  ) {
    throw new ImageError(
      "unsupported_format",
      `TIFF images of this kind are not supported (compression ${compression}, photometric interpretation ` +
        `${photometric}, ${samples} × ${bits} bits); send the image as PNG or JPEG`,
    );
  }
  return { width: first(TAG.width, 0), height: first(TAG.height, 0), bits, samples, photometric, predictor, unpack };
}

/** Unpacks the strips or tiles and joins them. Rows begin at whole bytes; samples of 16 or 32 bits are little-endian. */
function unpackBlocks(
  bytes: Bytes,
  tags: Tags,
  { width, height, bits, samples, predictor, unpack }: Encoding,
): Bytes {
  const tiled = tags.has(TAG.tileOffsets);
  const blockWidth = tiled ? firstValue(tags, TAG.tileWidth, 0) : width;
  const blockHeight = tiled
    ? firstValue(tags, TAG.tileHeight, 0)
    : Math.min(height, firstValue(tags, TAG.rowsPerStrip, height));
  const offsets = tags.get(tiled ? TAG.tileOffsets : TAG.stripOffsets) ?? [];
  const lengths = tags.get(tiled ? TAG.tileLengths : TAG.stripLengths) ?? [bytes.length];
  const across = Math.ceil(width / blockWidth);
  const blocks = across * Math.ceil(height / blockHeight);
  const fitting = blockWidth > 0 && blockHeight > 0 &&
    blockWidth < width + MAX_TILE_OVERHANG && blockHeight < height + MAX_TILE_OVERHANG;
  if (!fitting || offsets.length < blocks || lengths.length < blocks) {
    throw new Error("its strips or tiles do not cover the image");
  }

  const bytesOf = (pixels: number) => Math.ceil(pixels * samples * bits / 8);
  const rowBytes = bytesOf(width);
  const data = new Uint8Array(rowBytes * height);
  const block = new Uint8Array(bytesOf(blockWidth) * blockHeight);
  let read = 0;
  for (let i = 0; i < blocks; i++) {
    const packed = bytes.subarray(offsets[i], offsets[i] + lengths[i]);
    // Strips may share bytes, but if each were the whole file, unpacking would take forever.
    if ((read += packed.length) > 2 * bytes.length) throw new Error("its strips or tiles are longer than the file");
    block.fill(0);
    unpack(packed, block);
    if (!isLittleEndian(bytes)) toLittleEndian(block, bits);
    if (predictor === 2) undoDifferences(block, bytesOf(blockWidth), samples, bits);
    const left = bytesOf((i % across) * blockWidth);
    const top = Math.floor(i / across) * blockHeight;
    const length = Math.min(bytesOf(blockWidth), rowBytes - left);
    for (let y = 0; y < Math.min(blockHeight, height - top); y++) {
      const from = y * bytesOf(blockWidth);
      data.set(block.subarray(from, from + length), (top + y) * rowBytes + left);
    }
  }
  return data;
}

const TIFF_LZW: LzwVariant = { literalBits: 8, bitOrder: "highest first", widensEarly: true };

function unpackLzw(packed: Bytes, block: Bytes): void {
  // The data of a code: that of its prefix, then its last byte.
  const prefix = new Uint16Array(MAX_CODES);
  const last = Uint8Array.from({ length: MAX_CODES }, (_, code) => code);
  const first = last.slice();
  const lengths = new Uint16Array(MAX_CODES).fill(1);
  let to = 0;
  readLzwCodes(packed, TIFF_LZW, (code, previous, entry) => {
    if (entry >= 0) {
      prefix[entry] = previous;
      first[entry] = first[previous];
      last[entry] = first[code === entry ? previous : code];
      lengths[entry] = lengths[previous] + 1;
    }
    to += lengths[code];
    for (let at = to - 1, rest = code, left = lengths[code]; left > 0; left--, rest = prefix[rest]) {
      block[at--] = last[rest];
    }
    return to < block.length;
  });
}

/** PackBits (TIFF 6.0, section 9): runs of one byte, and literal bytes. */
function unpackBits(packed: Bytes, block: Bytes): void {
  for (let from = 0, to = 0; from < packed.length && to < block.length;) {
    const count = packed[from++];
    if (count < 128) {
      block.set(packed.subarray(from, from + Math.min(count + 1, block.length - to)), to);
      from += count + 1;
      to += count + 1;
    } else if (count > 128) {
      block.fill(packed[from++], to, to + 257 - count);
      to += 257 - count;
    }
  }
}

function toLittleEndian(block: Bytes, bits: number): void {
  if (bits === 16) asBuffer(block).swap16();
  if (bits === 32) asBuffer(block).swap32();
}

/** Differencing (TIFF 6.0, section 14): a sample is stored as its difference from the sample to its left. */
function undoDifferences(block: Bytes, rowBytes: number, samples: number, bits: number): void {
  const [row, values] = bits === 16 ? [rowBytes / 2, new Uint16Array(block.buffer)] : [rowBytes, block];
  for (let start = 0; start < values.length; start += row) {
    for (let i = start + samples; i < start + row; i++) values[i] += values[i - samples];
  }
}
