import { inflateSync } from "node:zlib";
import utif from "utif2";
import { ImageError } from "../../base/errors.ts";
import type { Pixels } from "../../base/pixels.ts";
import { asBuffer, asPixels, type Bytes, type Header, viewOf } from "./format.ts";

// TIFF 6.0 (Adobe, 1992). utif2 follows directories in circles, and unpacks to whatever size; it is left the colours.

const TIFF = {
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
/** Bits per sample that utif2 makes colours of, by the photometric interpretation: white or black is 0, RGB, palette. */
const TIFF_BITS: Record<number, number[]> = { 0: [1, 4, 8, 16], 1: [1, 2, 8, 16, 32], 2: [8, 16, 32], 3: [1, 2, 4, 8] };

/** Fills a block with what a strip or tile holds, as far as there is something. */
type Unpack = (packed: Bytes, block: Bytes) => void;

const unpackDeflate: Unpack = (packed, block) =>
  block.set(inflateSync(packed, { maxOutputLength: block.length }).subarray(0, block.length));
const TIFF_COMPRESSIONS: Record<number, Unpack> = {
  1: (packed, block) => block.set(packed.subarray(0, block.length)),
  5: unpackLzw,
  8: unpackDeflate,
  32773: unpackBits,
  32946: unpackDeflate,
};

/** Undefined where the file is no TIFF, or one of another version. */
export function readTiffHeader(bytes: Bytes): Header | undefined {
  if (!["49492a00", "4d4d002a"].includes(bytes.subarray(0, 4).toHex())) return undefined;
  const tags = readDirectory(bytes, [TIFF.width, TIFF.height]);
  const [width, height] = [TIFF.width, TIFF.height].map((tag) => tags.get(tag)?.[0] ?? 0);
  return { type: "tiff", width, height, orientation: 1 };
}

/** The values of whole numbers in the first directory, by tag. */
export function readDirectory(bytes: Bytes, wanted: number[]): Map<number, number[]> {
  const view = viewOf(bytes);
  const little = bytes[0] === 0x49;
  const tags = new Map<number, number[]>();
  let at = view.getUint32(4, little) + 2;
  for (let left = view.getUint16(at - 2, little); left > 0; left--, at += 12) {
    const tag = view.getUint16(at, little);
    const [BYTE, SHORT, LONG] = [1, 3, 4];
    const type = view.getUint16(at + 2, little);
    const size = { [BYTE]: 1, [SHORT]: 2, [LONG]: 4 }[type];
    if (size === undefined || !wanted.includes(tag) || tags.has(tag)) continue;
    const count = view.getUint32(at + 4, little);
    const from = count * size > 4 ? view.getUint32(at + 8, little) : at + 8;
    if (from + count * size > bytes.length) throw new Error(`tag ${tag} lies outside of the file`);
    const read = { 1: view.getUint8, 2: view.getUint16, 4: view.getUint32 }[size]!;
    tags.set(tag, Array.from({ length: count }, (_, i) => read.call(view, from + i * size, little)));
  }
  return tags;
}

/** The first page: the others may be many, and large. */
export function decodeTiff(bytes: Bytes): Promise<Pixels> {
  const tags = readDirectory(bytes, Object.values(TIFF));
  const first = (tag: number, otherwise: number) => tags.get(tag)?.[0] ?? otherwise;
  const [width, height, bits, samples] = [
    ...[first(TIFF.width, 0), first(TIFF.height, 0)],
    ...[first(TIFF.bits, 1), first(TIFF.samples, 1)],
  ];
  const [compression, photometric, predictor] = [
    first(TIFF.compression, 1),
    first(TIFF.photometric, bits === 1 ? 0 : 2),
    first(TIFF.predictor, 1),
  ];
  const unpack = TIFF_COMPRESSIONS[compression];
  if (
    unpack === undefined || !TIFF_BITS[photometric]?.includes(bits) || samples * bits > 128 ||
    first(TIFF.planar, 1) !== 1 ||
    !(predictor === 1 || (predictor === 2 && (bits === 8 || bits === 16)))
  ) {
    throw new ImageError(
      "unsupported_format",
      `TIFF images of this kind are not supported (compression ${compression}, photometric interpretation ` +
        `${photometric}, ${samples} × ${bits} bits)`,
    );
  }

  const tiled = tags.has(TIFF.tileOffsets);
  const blockWidth = tiled ? first(TIFF.tileWidth, 0) : width;
  const blockHeight = tiled ? first(TIFF.tileHeight, 0) : Math.min(height, first(TIFF.rowsPerStrip, height));
  const offsets = tags.get(tiled ? TIFF.tileOffsets : TIFF.stripOffsets) ?? [];
  const lengths = tags.get(tiled ? TIFF.tileLengths : TIFF.stripLengths) ?? [bytes.length];
  const across = Math.ceil(width / blockWidth);
  const blocks = across * Math.ceil(height / blockHeight);
  // Tiles reach beyond the image by less than a tile, and those of real files have few hundred pixels a side.
  const fitting = blockWidth > 0 && blockHeight > 0 && blockWidth < width + 1024 && blockHeight < height + 1024;
  if (!fitting || offsets.length < blocks || lengths.length < blocks) {
    throw new Error("its strips do not make an image");
  }

  const bytesOf = (pixels: number) => Math.ceil(pixels * samples * bits / 8);
  const rowBytes = bytesOf(width);
  const data = new Uint8Array(rowBytes * height);
  const block = new Uint8Array(bytesOf(blockWidth) * blockHeight);
  let read = 0;
  for (let i = 0; i < blocks; i++) {
    const packed = bytes.subarray(offsets[i], offsets[i] + lengths[i]);
    // Strips may be the same, but not each of them all of the file.
    if ((read += packed.length) > 2 * bytes.length) throw new Error("its strips are longer than the file");
    block.fill(0);
    unpack(packed, block);
    if (bytes[0] !== 0x49) toLittleEndian(block, bits);
    if (predictor === 2) undoDifferences(block, bytesOf(blockWidth), samples, bits);
    const left = bytesOf((i % across) * blockWidth);
    const top = Math.floor(i / across) * blockHeight;
    const length = Math.min(bytesOf(blockWidth), rowBytes - left);
    for (let y = 0; y < Math.min(blockHeight, height - top); y++) {
      const from = y * bytesOf(blockWidth);
      data.set(block.subarray(from, from + length), (top + y) * rowBytes + left);
    }
  }
  const kept = [TIFF.palette, TIFF.extraSamples, TIFF.sampleFormat].map((tag) => [`t${tag}`, tags.get(tag)]);
  const shape = { t258: [bits], t262: [photometric], t277: [samples] };
  const page = { ...Object.fromEntries(kept), ...shape, width, height, data };
  return Promise.resolve(asPixels({ data: utif.toRGBA8(page), width, height }));
}

/** Section 13 of TIFF 6.0: codes of 9 to 12 bits, the highest first. */
function unpackLzw(packed: Bytes, block: Bytes): void {
  const [CLEAR, END] = [256, 257];
  const prefix = new Uint16Array(4096);
  const last = Uint8Array.from({ length: 4096 }, (_, code) => code);
  const first = last.slice();
  const lengths = new Uint16Array(4096).fill(1);
  let [next, width, previous] = [END + 1, 9, -1];
  for (let from = 0, bits = 0, pending = 0, to = 0; to < block.length;) {
    for (; bits < width; bits += 8) {
      if (from === packed.length) return;
      pending = ((pending << 8) | packed[from++]) & 0xffffff;
    }
    bits -= width;
    const code = (pending >> bits) & ((1 << width) - 1);
    if (code === END) return;
    if (code === CLEAR) {
      [next, width, previous] = [END + 1, 9, -1];
      continue;
    }
    if (previous < 0 ? code > CLEAR : code > next) throw new Error("a code is not defined");
    if (previous >= 0 && next < 4096) {
      prefix[next] = previous;
      first[next] = first[previous];
      last[next] = first[code === next ? previous : code];
      lengths[next] = lengths[previous] + 1;
      next++;
      if (next + 1 === 1 << width && width < 12) width++;
    }
    to += lengths[code];
    for (let at = to - 1, rest = code, left = lengths[code]; left > 0; left--, rest = prefix[rest]) {
      block[at--] = last[rest];
    }
    previous = code;
  }
}

/** Section 9 of TIFF 6.0: runs, and bytes as they are. */
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

/** Section 14 of TIFF 6.0: each sample is stored as how much it differs from the one at its left. */
function undoDifferences(block: Bytes, rowBytes: number, samples: number, bits: number): void {
  const [row, values] = bits === 16 ? [rowBytes / 2, new Uint16Array(block.buffer)] : [rowBytes, block];
  for (let start = 0; start < values.length; start += row) {
    for (let i = start + samples; i < start + row; i++) values[i] += values[i - samples];
  }
}
