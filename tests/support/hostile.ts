import { Buffer } from "node:buffer";
import { crc32, deflateRawSync, deflateSync } from "node:zlib";
import type { ImageErrorCode } from "../../src/base/errors.ts";
import { fixture, paintImage, withOrientation } from "./images.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The outcome for a file: a cutout, or an `ImageError` with this code. */
export type Outcome = "good" | ImageErrorCode;

export interface HostileFile {
  readonly name: string;
  /** Creates the file on demand, since some are large. */
  readonly make: () => Bytes | Promise<Bytes>;
  readonly outcomes: readonly Outcome[];
  /** Whether the model runs on it. Other files are rendered with a known mask. */
  readonly inferred?: boolean;
}

const MEGABYTE = 1_000_000;
/** The side of a square with exactly the number of pixels that the tests allow. */
const SIDE = 5000;
const FORMATS = {
  jpeg: "baseline.jpg",
  png: "interlaced.png",
  webp: "lossy.webp",
  avif: "still.avif",
  gif: "animated.gif",
  bmp: "still.bmp",
  tiff: "tiff_lzw.tiff",
};

const format = (name: keyof typeof FORMATS) => fixture(`formats/${FORMATS[name]}`);
const concat = (...parts: Iterable<number>[]): Bytes =>
  new Uint8Array(Buffer.concat(parts.map((part) => part instanceof Uint8Array ? part : Uint8Array.from(part))));
const text = (value: string): Bytes => new Uint8Array(Buffer.from(value, "latin1"));
const u16le = (value: number) => [value & 255, value >> 8 & 255];
const u24le = (value: number) => [...u16le(value), value >> 16 & 255];
const u32le = (value: number) => [...u16le(value), ...u16le(value >>> 16)];
const u16be = (value: number) => u16le(value).reverse();
const u32be = (value: number) => u32le(value).reverse();

/** A copy with `bytes` written at an offset. */
function patched(file: Bytes, at: number, bytes: Iterable<number>): Bytes {
  const copy = file.slice();
  copy.set([...bytes], at);
  return copy;
}

function repeated(part: Iterable<number>, times: number): Bytes {
  const bytes = Uint8Array.from(part);
  return new Uint8Array(Buffer.alloc(bytes.length * times, bytes));
}

/** Packs codes of the given widths, lowest or highest bit first. */
function bits(codes: [code: number, width: number][], lowestFirst: boolean): Bytes {
  const all = codes.flatMap(([code, width]) => {
    const digits = [...code.toString(2).padStart(width, "0")].map(Number);
    return lowestFirst ? digits.reverse() : digits;
  });
  const bytes = new Uint8Array(Math.ceil(all.length / 8));
  all.forEach((bit, i) => bytes[i >> 3] |= bit << (lowestFirst ? i & 7 : 7 - (i & 7)));
  return bytes;
}

/** A zlib stream of many million zeros. It takes a thousandth of their size, and is quick to create. */
function zlibBomb(megabytes: number): Bytes {
  // Ends at a byte boundary and is not marked as the last block, so it can be repeated.
  const block = deflateRawSync(Buffer.alloc(MEGABYTE), { level: 9, finishFlush: 3 });
  return concat([0x78, 0xda], repeated(block, megabytes), [3, 0, 0, 0, 0, 0]);
}

// PNG (W3C, third edition)

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function pngChunk(name: string, data: Iterable<number> = []): Bytes {
  const body = concat(text(name), data);
  return concat(u32be(body.length - 4), body, u32be(crc32(body)));
}

const ihdr = (width: number, height: number, depth = 8, colours = 2, interlaced = 0) =>
  pngChunk("IHDR", [...u32be(width), ...u32be(height), depth, colours, 0, 0, interlaced]);
const idat = (bytes: number) => pngChunk("IDAT", deflateSync(Buffer.alloc(bytes)));
const png = (...chunks: Bytes[]) => concat(PNG_SIGNATURE, ...chunks, pngChunk("IEND"));

// JPEG (ITU-T T.81)

const segment = (marker: number, data: Iterable<number>): Bytes => {
  const bytes = Uint8Array.from(data);
  return concat([0xff, marker], u16be(bytes.length + 2), bytes);
};
const SOI = [0xff, 0xd8];
const EOI = [0xff, 0xd9];
const [SOF0, SOF2, SOF9, DHT, SOS, DQT, APP1, APP2] = [0xc0, 0xc2, 0xc9, 0xc4, 0xda, 0xdb, 0xe1, 0xe2];
const frame = (marker: number, width: number, height: number) =>
  segment(marker, [8, ...u16be(height), ...u16be(width), 1, 1, 0x11, 0]);
const quantization = segment(DQT, [0, ...Array(64).fill(1)]);
/** A Huffman table with a single symbol, whose code is the bit 0. */
const huffman = (table: number, symbol: number) => segment(DHT, [table, 1, ...Array(15).fill(0), symbol]);

/** Each scan says, in a few bytes, that it adds nothing to any of 5000×5000 pixels. */
function progressiveJpeg(scans: number): Bytes {
  const blocks = (SIDE / 8) ** 2;
  const direct = concat(segment(SOS, [1, 1, 0, 0, 0, 0]), new Uint8Array(Math.ceil(blocks / 8)));
  // Code 0 and 14 more bits: the next 2^14 blocks end here.
  const nothing = new Uint8Array(Math.ceil(Math.ceil(blocks / 2 ** 14) * 15 / 8));
  const rest = concat(segment(SOS, [1, 1, 0, 1, 63, 0]), nothing);
  const tables = [quantization, huffman(0x00, 0), huffman(0x10, 0xe0)];
  return concat(SOI, frame(SOF2, SIDE, SIDE), ...tables, direct, repeated(rest, scans - 1), EOI);
}

function jpegWithSegments(...segments: Bytes[]): Bytes {
  const jpeg = format("jpeg");
  return concat(jpeg.subarray(0, 2), ...segments, jpeg.subarray(2));
}

const exif = (...tiff: number[]) => segment(APP1, concat(text("Exif\0\0"), tiff));

// GIF (version 89a)

const gifScreen = (width: number, height: number) =>
  concat(text("GIF89a"), u16le(width), u16le(height), [0x80, 0, 0], [0, 0, 0, 255, 255, 255]);
const gifFrame = (width: number, height: number, codeSize: number, codes: Bytes, end = [0]) =>
  concat([0x2c, 0, 0, 0, 0], u16le(width), u16le(height), [0, codeSize], [codes.length], codes, end);

/** Code 7 is used before its definition, which makes it its own successor. */
const LZW_CYCLE = bits([[4, 3], [0, 3], [7, 3], [0, 3], [7, 4], [7, 4], [5, 4]], true);

// BMP

function bmp(
  { width, height, bitsPerPixel = 24, compression = 0, colours = 0 }: {
    width: number;
    height: number;
    bitsPerPixel?: number;
    compression?: number;
    colours?: number;
  },
  ...data: Iterable<number>[]
): Bytes {
  const rest = concat(...data);
  return concat(
    ...[text("BM"), u32le(54 + rest.length), u32le(0), u32le(54)],
    ...[u32le(40), u32le(width), u32le(height), u16le(1), u16le(bitsPerPixel), u32le(compression)],
    ...[u32le(rest.length), u32le(2835), u32le(2835), u32le(colours), u32le(0), rest],
  );
}

// TIFF (6.0), with the data before the directory, at 8

const [SHORT, LONG] = [3, 4];
type Tag = [tag: number, type: number, values: number[], count?: number];

function tiff(tags: Tag[], data: Iterable<number> = [], next = 0): Bytes {
  const pixels = concat(data);
  const directory = 8 + pixels.length;
  const extra: Uint8Array[] = [];
  let extraAt = directory + 2 + tags.length * 12 + 4;
  const entries = tags.map(([tag, type, values, count = values.length]) => {
    const packed = concat(values.flatMap(type === SHORT ? u16le : u32le));
    let value: Iterable<number> = [...packed, 0, 0, 0, 0].slice(0, 4);
    if (packed.length > 4) {
      value = u32le(extraAt);
      extra.push(packed);
      extraAt += packed.length;
    }
    return concat(u16le(tag), u16le(type), u32le(count), value);
  });
  return concat(text("II*\0"), u32le(directory), pixels, u16le(tags.length), ...entries, u32le(next), ...extra);
}

/** Tags of a grayscale image in one strip. */
const gray = (
  width: number,
  height: number,
  { compression = 1, offsets = [8], lengths = [width * height], rows = height } = {},
): Tag[] => [
  [256, LONG, [width]],
  [257, LONG, [height]],
  [258, SHORT, [8]],
  [259, SHORT, [compression]],
  [262, SHORT, [1]],
  [273, LONG, offsets],
  [277, SHORT, [1]],
  [278, LONG, [rows]],
  [279, LONG, lengths],
];

/** Zeros in TIFF's LZW: each code stands for one zero more than the previous code, up to some thousands. */
function lzwBomb(bytes: number): Bytes {
  const codes: [number, number][] = [[256, 9], [0, 9]];
  let [next, width] = [258, 9];
  while (next < 4094) {
    codes.push([next++, width]);
    if (next + 1 === 1 << width) width++;
  }
  const start = bits(codes, false);
  return concat(start, repeated([0xff, 0xdf, 0xfd], Math.ceil((bytes - start.length) / 3)));
}

// WebP (RFC 9649)

const riffChunk = (name: string, data: Bytes) =>
  concat(text(name), u32le(data.length), data, data.length % 2 ? [0] : []);

function webp(...chunks: Bytes[]): Bytes {
  const body = concat(text("WEBP"), ...chunks);
  return concat(text("RIFF"), u32le(body.length), body);
}

const canvas = (width: number, height: number) =>
  riffChunk("VP8X", concat([0x02, 0, 0, 0], u24le(width - 1), u24le(height - 1)));
const anim = riffChunk("ANIM", concat([0, 0, 0, 0, 0, 0]));
const animFrame = (x: number, y: number, width: number, height: number, data: Bytes) =>
  riffChunk(
    "ANMF",
    concat(u24le(x / 2), u24le(y / 2), u24le(width - 1), u24le(height - 1), [100, 0, 0, 0], data),
  );
const stillChunks = () => format("webp").slice(12);
/** A lossless bitstream that contains only its size. */
const hugeLossless = (width: number, height: number) =>
  riffChunk(
    "VP8L",
    concat([0x2f], bits([[width - 1, 14], [height - 1, 14], [0, 4]], true), new Uint8Array(64)),
  );

// AVIF

function indexOf(file: Bytes, name: string): number {
  const at = Buffer.from(file.buffer).indexOf(name, 0, "latin1");
  if (at < 0) throw new Error(`the file does not contain ${name}`);
  return at;
}

const avifSized = (width: number, height: number) => {
  const file = format("avif");
  return patched(file, indexOf(file, "ispe") + 8, [...u32be(width), ...u32be(height)]);
};

/** The container declares 48×32, its AV1 stream 16384×16384 (sequence header of AV1, section 5.5.1). */
function avifLargerInside(): Bytes {
  const file = format("avif");
  const header = indexOf(file, "mdat") + 4 + 4;
  const old = [...file.slice(header, header + 9)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const size = (value: number, width: number) => (value - 1).toString(2).padStart(width, "0");
  const bits14 = "1101";
  // Level 0, 4+4 bits for the number of bits of width and height, then width and height, of 6 and 5 bits.
  const next = old.slice(0, 10) + bits14 + bits14 + size(16384, 14) + size(16384, 14) + old.slice(10 + 8 + 6 + 5);
  const bytes = next.padEnd(Math.ceil(next.length / 8) * 8, "0").match(/.{8}/g)!.map((byte) => parseInt(byte, 2));
  // The header grows by some bytes, so as many are cut off at the end of the picture.
  const tail = concat([bytes.length], bytes, file.subarray(header + 9));
  return concat(file.subarray(0, header - 1), tail.subarray(0, file.length - header + 1));
}

/** So many size properties that resolving each of them would scan the file over and over. */
function avifManySizes(count: number): Bytes {
  const box = (name: string, data: Bytes) => concat(u32be(8 + data.length), text(name), data);
  const size = box("ispe", concat(u32be(0), u32be(48), u32be(32)));
  const properties = box("iprp", box("ipco", repeated(size, count)));
  return concat(box("ftyp", text("avif\0\0\0\0avif")), box("meta", concat(u32be(0), properties)));
}

// The files

const damaged = ["invalid_image"] as const;
const tooLarge = ["image_too_large"] as const;
const unsupported = ["unsupported_format"] as const;
const unknown = ["invalid_image", "unsupported_format"] as const;
const good = ["good"] as const;
const goodOrDamaged = ["good", "invalid_image"] as const;

const truncated: HostileFile[] = Object.keys(FORMATS).flatMap((name) =>
  [1, 2, 3, 4, 5, 6, 7, 8, 9].map((tenths) => ({
    name: `${name} truncated to ${tenths}/10`,
    make: () => {
      const file = format(name as keyof typeof FORMATS);
      return file.slice(0, Math.floor(file.length * tenths / 10));
    },
    outcomes: goodOrDamaged,
  }))
);

const headersOnly: HostileFile[] = Object.entries({
  "JPEG": [0xff, 0xd8, 0xff],
  "PNG": PNG_SIGNATURE,
  "WebP": text("RIFF\0\0\0\0WEBPVP8 "),
  "AVIF": concat(u32be(20), text("ftypavif\0\0\0\0avif")),
  "GIF": text("GIF89a"),
  "BMP": text("BM"),
  "TIFF": text("II*\0"),
}).map(([name, bytes]) => ({ name: `only the signature of ${name}`, make: () => concat(bytes), outcomes: damaged }));

const wrongFormats: HostileFile[] = [
  { name: "no bytes", make: () => new Uint8Array(), outcomes: damaged },
  { name: "one byte", make: () => new Uint8Array([0xff]), outcomes: damaged },
  { name: "zeros", make: () => new Uint8Array(MEGABYTE), outcomes: unknown },
  { name: "ones", make: () => new Uint8Array(MEGABYTE).fill(255), outcomes: unknown },
  {
    name: "PNG with the signature of JPEG",
    make: () => patched(format("png"), 0, [0xff, 0xd8, 0xff, 0xe0]),
    outcomes: damaged,
  },
  {
    name: "JPEG with the signature of PNG",
    make: () => patched(format("jpeg"), 0, PNG_SIGNATURE),
    outcomes: damaged,
  },
  {
    name: "SVG",
    make: () => text(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>`),
    outcomes: unsupported,
  },
  {
    name: "SVG with 10 MB of unclosed elements",
    make: () => concat(text(`<svg width="9" height="9">`), repeated(text("<svg "), 2 * MEGABYTE)),
    outcomes: unsupported,
  },
  { name: "HTML", make: () => text("<!doctype html><title>no image</title>"), outcomes: unknown },
  { name: "PDF", make: () => text("%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"), outcomes: unknown },
  { name: "JPEG after a PDF header", make: () => concat(text("%PDF-1.7\n"), format("jpeg")), outcomes: unknown },
  {
    name: "JPEG followed by a zip archive",
    make: () => concat(format("jpeg"), text("PK\x03\x04 zip")),
    outcomes: good,
  },
  {
    name: "JPEG followed by HTML",
    make: () => concat(format("jpeg"), text("<script>alert(1)</script>")),
    outcomes: good,
  },
  { name: "PNG followed by a zip archive", make: () => concat(format("png"), text("PK\x03\x04 zip")), outcomes: good },
  { name: "GIF followed by JavaScript", make: () => concat(format("gif"), text("*/=1;alert(1)")), outcomes: good },
  {
    name: "GIF whose size is a JavaScript comment",
    make: () => patched(format("gif"), 6, text("/*\0\0")),
    outcomes: ["good", "invalid_image", "image_too_large"],
  },
];

const jpegs: HostileFile[] = [
  {
    name: "JPEG of 65535×65535",
    make: () => {
      const file = format("jpeg");
      return patched(file, indexOf(file, "\xff\xc0") + 5, [255, 255, 255, 255]);
    },
    outcomes: tooLarge,
  },
  {
    name: "JPEG of 65535×65535 with arithmetic coding and a smaller header in its data",
    make: () =>
      concat(
        ...[SOI, segment(0xe0, text("JFIF\0")), frame(SOF9, 65535, 65535), quantization],
        ...[segment(SOS, [1, 1, 0, 0, 63, 0]), new Uint8Array(64), frame(SOF0, 48, 32), EOI],
      ),
    outcomes: ["image_too_large", "invalid_image"],
  },
  {
    name: "JPEG of 16000×16000 with a smaller header after its own",
    make: () =>
      concat(
        ...[SOI, frame(SOF0, 16000, 16000), quantization, huffman(0x00, 0), huffman(0x10, 0)],
        ...[segment(SOS, [1, 1, 0, 0, 63, 0]), new Uint8Array(64), [0xff, 0xfe], [0, 4, 0, 0], frame(SOF0, 48, 32)],
        EOI,
      ),
    outcomes: ["image_too_large", "invalid_image"],
  },
  {
    name: "JPEG of 5000×5000 with 10 bytes of data",
    make: () =>
      concat(
        ...[SOI, segment(0xe0, text("JFIF\0")), frame(SOF0, SIDE, SIDE), quantization],
        ...[huffman(0x00, 0), huffman(0x10, 0), segment(SOS, [1, 1, 0, 0, 63, 0]), new Uint8Array(10), EOI],
      ),
    outcomes: goodOrDamaged,
  },
  { name: "progressive JPEG with 12 scans", make: () => progressiveJpeg(12), outcomes: good },
  { name: "progressive JPEG with 500 scans", make: () => progressiveJpeg(500), outcomes: damaged },
  { name: "progressive JPEG with 50,000 scans", make: () => progressiveJpeg(50_000), outcomes: damaged },
  {
    name: "JPEG with 150 segments of 64 KB",
    make: () => jpegWithSegments(repeated(segment(APP2, new Uint8Array(65_500)), 150)),
    outcomes: good,
  },
  {
    name: "JPEG with two million empty segments",
    make: () => jpegWithSegments(repeated(segment(APP2, []), 2 * MEGABYTE)),
    outcomes: goodOrDamaged,
  },
  {
    name: "JPEG with 10 MB of zeros between its segments",
    make: () => {
      const file = format("jpeg");
      return concat(file.subarray(0, 20), new Uint8Array(10 * MEGABYTE), file.subarray(20));
    },
    outcomes: goodOrDamaged,
  },
  {
    name: "JPEG whose EXIF directory lies outside the file",
    make: () => jpegWithSegments(exif(...text("MM\0*"), 0xff, 0xff, 0xff, 0xf0)),
    outcomes: goodOrDamaged,
  },
  {
    name: "JPEG whose EXIF directory declares 65535 entries and contains none",
    make: () => jpegWithSegments(exif(...text("MM\0*"), 0, 0, 0, 8, 255, 255)),
    outcomes: goodOrDamaged,
  },
  {
    name: "JPEG whose EXIF directory links to itself",
    make: () =>
      jpegWithSegments(exif(...text("MM\0*"), ...u32be(8), 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 8)),
    outcomes: good,
  },
  { name: "JPEG with orientation 99", make: () => withOrientation(format("jpeg"), 99), outcomes: good },
];

const pngs: HostileFile[] = [
  { name: "PNG of 2^31×2^31", make: () => png(ihdr(2 ** 31, 2 ** 31), idat(100)), outcomes: tooLarge },
  { name: "PNG of 5000×5000 with 10 bytes of data", make: () => png(ihdr(SIDE, SIDE), idat(10)), outcomes: damaged },
  {
    name: "interlaced PNG of 5000×5000 with 10 bytes of data",
    make: () => png(ihdr(SIDE, SIDE, 8, 2, 1), idat(10)),
    outcomes: damaged,
  },
  {
    name: "PNG with a second, larger header",
    make: () => png(ihdr(8, 8), ihdr(20_000, 20_000), idat(100)),
    outcomes: damaged,
  },
  {
    name: "PNG with one column and 25 million rows",
    make: () => png(ihdr(1, SIDE * SIDE, 8, 0), pngChunk("IDAT", zlibBomb(50))),
    outcomes: tooLarge,
  },
  {
    name: "PNG whose data expand to 4 GB",
    make: () => png(ihdr(8, 8), pngChunk("IDAT", zlibBomb(4000))),
    outcomes: goodOrDamaged,
  },
  {
    name: "interlaced PNG whose data expand to 4 GB",
    make: () => png(ihdr(8, 8, 8, 2, 1), pngChunk("IDAT", zlibBomb(4000))),
    outcomes: damaged,
  },
  {
    name: "PNG with a text that expands to 4 GB",
    make: () => png(ihdr(8, 8), pngChunk("zTXt", concat(text("Comment\0\0"), zlibBomb(4000))), idat(8 * 25)),
    outcomes: good,
  },
  {
    name: "PNG with a colour profile that expands to 4 GB",
    make: () => png(ihdr(8, 8), pngChunk("iCCP", concat(text("icc\0\0"), zlibBomb(4000))), idat(8 * 25)),
    outcomes: good,
  },
  {
    name: "PNG with a text of 10 MB",
    make: () => png(ihdr(8, 8), pngChunk("tEXt", new Uint8Array(10 * MEGABYTE)), idat(8 * 25)),
    outcomes: good,
  },
  {
    name: "PNG with a palette of 10 MB",
    make: () => png(ihdr(8, 8, 8, 3), pngChunk("PLTE", new Uint8Array(10 * MEGABYTE)), idat(8 * 9)),
    outcomes: damaged,
  },
  {
    name: "PNG with 800,000 empty chunks before its data",
    make: () => png(ihdr(8, 8), repeated(pngChunk("IDAT"), 800_000), idat(8 * 25)),
    outcomes: goodOrDamaged,
  },
  {
    name: "PNG whose pixels are not in its palette",
    make: () =>
      png(
        ihdr(8, 8, 8, 3),
        pngChunk("PLTE", [1, 2, 3]),
        pngChunk("IDAT", deflateSync(repeated([0, 9, 9, 9, 9, 9, 9, 9, 9], 8))),
      ),
    outcomes: damaged,
  },
  {
    name: "PNG of 2000×2000 with one bit per pixel",
    make: () => png(ihdr(2000, 2000, 1, 0), idat(2000 * (2000 / 8 + 1))),
    outcomes: good,
  },
  {
    name: "interlaced PNG of 1600×1600 with 16 bits per channel",
    make: () => png(ihdr(1600, 1600, 16, 6, 1), idat(1600 * 1600 * 8 + 1600 / 8 * 15)),
    outcomes: good,
  },
];

const webps: HostileFile[] = [
  {
    name: "WebP of 16383×16383",
    make: () => patched(format("webp"), 26, [0xff, 0x3f, 0xff, 0x3f]),
    outcomes: tooLarge,
  },
  {
    name: "WebP with a canvas of 2^24×2^24",
    make: () => webp(canvas(2 ** 24, 2 ** 24), stillChunks()),
    outcomes: tooLarge,
  },
  {
    name: "still WebP that is larger than its canvas",
    make: () => {
      const still = riffChunk("VP8X", concat([0, 0, 0, 0], u24le(7), u24le(7)));
      return webp(still, hugeLossless(16384, 16384));
    },
    outcomes: ["invalid_image", "image_too_large"],
  },
  {
    name: "animated WebP whose frame is larger than its canvas",
    make: () => webp(canvas(16, 16), anim, animFrame(0, 0, 48, 32, stillChunks())),
    outcomes: damaged,
  },
  {
    name: "animated WebP whose frame lies outside its canvas",
    make: () => webp(canvas(64, 64), anim, animFrame(2_000_000, 2_000_000, 48, 32, stillChunks())),
    outcomes: damaged,
  },
  {
    name: "animated WebP whose frame reaches beyond its canvas",
    make: () => webp(canvas(64, 64), anim, animFrame(40, 0, 48, 32, stillChunks())),
    outcomes: damaged,
  },
  {
    name: "animated WebP whose frame contains 16384×16384",
    make: () => webp(canvas(64, 64), anim, animFrame(0, 0, 64, 64, hugeLossless(16384, 16384))),
    outcomes: ["invalid_image", "image_too_large"],
  },
  {
    name: "animated WebP with two million empty chunks",
    make: () => webp(canvas(64, 64), anim, repeated(riffChunk("JUNK", new Uint8Array()), 2 * MEGABYTE)),
    outcomes: damaged,
  },
  {
    name: "animated WebP with an empty frame",
    make: () => webp(canvas(64, 64), anim, riffChunk("ANMF", new Uint8Array())),
    outcomes: damaged,
  },
  {
    name: "animated WebP whose frame has two million empty chunks",
    make: () => {
      const chunks = repeated(riffChunk("JUNK", new Uint8Array()), 2 * MEGABYTE);
      return webp(canvas(64, 64), anim, animFrame(0, 0, 64, 64, chunks));
    },
    outcomes: damaged,
  },
  {
    name: "WebP with a chunk that declares 4 GB",
    make: () => patched(format("webp"), 16, u32le(2 ** 32 - 1)),
    outcomes: goodOrDamaged,
  },
];

const avifs: HostileFile[] = [
  { name: "AVIF of 2^31×2^31", make: () => avifSized(2 ** 31, 2 ** 31), outcomes: tooLarge },
  { name: "AVIF that declares 5000×5000", make: () => avifSized(SIDE, SIDE), outcomes: goodOrDamaged },
  { name: "AVIF that declares 1×1", make: () => avifSized(1, 1), outcomes: goodOrDamaged },
  { name: "AVIF that contains 16384×16384", make: avifLargerInside, outcomes: ["invalid_image", "image_too_large"] },
  {
    name: "AVIF with garbage instead of pixels",
    make: () => {
      const file = format("avif");
      const at = indexOf(file, "mdat") + 4;
      return patched(file, at, Uint8Array.from({ length: file.length - at }, (_, i) => i * 167 + 13));
    },
    outcomes: goodOrDamaged,
  },
  { name: "AVIF with 400,000 size properties", make: () => avifManySizes(400_000), outcomes: damaged },
];

const gifs: HostileFile[] = [
  { name: "GIF of 65535×65535", make: () => patched(format("gif"), 6, [255, 255, 255, 255]), outcomes: tooLarge },
  {
    name: "GIF with a frame of 65535×65535",
    make: () => concat(gifScreen(8, 8), gifFrame(65535, 65535, 2, Uint8Array.of(0x44, 0x01)), [0x3b]),
    outcomes: tooLarge,
  },
  {
    name: "GIF with a code that is its own successor",
    make: () => concat(gifScreen(64, 64), gifFrame(64, 64, 2, LZW_CYCLE), [0x3b]),
    outcomes: damaged,
  },
  {
    name: "GIF without an end",
    make: () => concat(gifScreen(8, 8), gifFrame(8, 8, 2, new Uint8Array(200), [255])),
    outcomes: goodOrDamaged,
  },
  {
    name: "GIF with a million frames",
    make: () => concat(gifScreen(8, 8), repeated(gifFrame(1, 1, 2, Uint8Array.of(0x44, 0x01)), MEGABYTE), [0x3b]),
    outcomes: good,
  },
  {
    name: "GIF of 5000×5000 that clears its table over and over",
    make: () => {
      const clears = concat([255], repeated([0x24, 0x49, 0x92], 85));
      const first = concat([0x2c, 0, 0, 0, 0], u16le(SIDE), u16le(SIDE), [0, 2]);
      return concat(gifScreen(SIDE, SIDE), first, repeated(clears, 40_000), [0, 0x3b]);
    },
    outcomes: goodOrDamaged,
  },
  {
    name: "GIF with codes of 255 bits",
    make: () => concat(gifScreen(8, 8), gifFrame(8, 8, 255, new Uint8Array(200)), [0x3b]),
    outcomes: goodOrDamaged,
  },
  { name: "GIF without a frame", make: () => concat(gifScreen(8, 8), [0x3b]), outcomes: damaged },
];

const bmps: HostileFile[] = [
  {
    name: "BMP of (2^31−1)×(2^31−1)",
    make: () => bmp({ width: 2 ** 31 - 1, height: 2 ** 31 - 1 }),
    outcomes: tooLarge,
  },
  { name: "BMP with −2^31 rows", make: () => bmp({ width: 1, height: 2 ** 31 }), outcomes: tooLarge },
  { name: "BMP with −32 rows", make: () => bmp({ width: 48, height: -32 }, new Uint8Array(4608)), outcomes: good },
  {
    name: "BMP of 5000×5000 with 10 bytes of data",
    make: () => bmp({ width: SIDE, height: SIDE }, Array(10)),
    outcomes: damaged,
  },
  {
    name: "BMP with one column and 25 million rows",
    make: () => bmp({ width: 1, height: SIDE * SIDE }, new Uint8Array(MEGABYTE)),
    outcomes: tooLarge,
  },
  {
    name: "BMP with four billion colours",
    make: () => bmp({ width: 8, height: 8, bitsPerPixel: 8, colours: 2 ** 32 - 1 }, new Uint8Array(MEGABYTE)),
    outcomes: damaged,
  },
  {
    name: "BMP with garbage instead of 8-bit run lengths",
    make: () =>
      bmp(
        { width: 64, height: 64, bitsPerPixel: 8, compression: 1 },
        new Uint8Array(1024),
        Array.from({ length: 3000 }, (_, i) => (i * 167) & 255),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "BMP with garbage instead of 4-bit run lengths",
    make: () =>
      bmp(
        { width: 64, height: 64, bitsPerPixel: 4, compression: 2 },
        new Uint8Array(64),
        Array.from({ length: 3000 }, (_, i) => (i * 59) & 255),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "BMP with nothing but ends of lines",
    make: () =>
      bmp(
        { width: 64, height: 64, bitsPerPixel: 8, compression: 1 },
        new Uint8Array(1024),
        new Uint8Array(10 * MEGABYTE),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "BMP whose pixels are not in its palette",
    make: () => bmp({ width: 8, height: 8, bitsPerPixel: 4, colours: 1 }, [1, 2, 3, 0], new Uint8Array(32).fill(0x99)),
    outcomes: goodOrDamaged,
  },
  {
    name: "BMP with 0 bits per pixel",
    make: () => bmp({ width: 8, height: 8, bitsPerPixel: 0 }, new Uint8Array(400)),
    outcomes: goodOrDamaged.concat(unsupported as never),
  },
];

const endOfFile = 2 ** 32 - 16;
const tiffs: HostileFile[] = [
  { name: "TIFF of (2^32−1)×(2^32−1)", make: () => tiff(gray(2 ** 32 - 1, 2 ** 32 - 1)), outcomes: tooLarge },
  {
    name: "TIFF of 5000×5000 with 10 bytes of data",
    make: () => tiff(gray(SIDE, SIDE), new Uint8Array(10)),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF whose directory links to itself",
    make: () => tiff(gray(8, 8), new Uint8Array(64), 72),
    outcomes: good,
  },
  {
    name: "TIFF whose directory lies outside the file",
    make: () => patched(format("tiff"), 4, u32le(endOfFile)),
    outcomes: damaged,
  },
  {
    name: "TIFF whose strip lies outside the file",
    make: () => tiff(gray(8, 8, { offsets: [endOfFile] })),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF with two sizes, the smaller one after the directory",
    make: () => {
      const tags = gray(20_000, 20_000);
      const file = tiff(tags, [], 1);
      return concat(file.subarray(0, -4), tiff(gray(8, 8)).subarray(10));
    },
    outcomes: ["image_too_large", "invalid_image"],
  },
  {
    name: "TIFF with a million strips",
    make: () =>
      tiff(
        gray(1000, 1000, { offsets: Array(MEGABYTE).fill(8), lengths: Array(MEGABYTE).fill(1000), rows: 1 }),
        new Uint8Array(1000),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF with strips that declare 4 GB each",
    make: () =>
      tiff(
        gray(1000, 1000, { offsets: Array(1000).fill(8), lengths: Array(1000).fill(2 ** 32 - 1), rows: 1 }),
        new Uint8Array(1000),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF with a tag that declares four billion values",
    make: () => tiff([...gray(8, 8), [700, LONG, [0, 0], 2 ** 32 - 1]], new Uint8Array(64)),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF with 65535 tags",
    make: () => tiff([...gray(8, 8), ...Array(65_500).fill([700, SHORT, [0]])], new Uint8Array(64)),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF whose directory is its own child",
    make: () => tiff([...gray(8, 8), [330, LONG, [72]]], new Uint8Array(64)),
    outcomes: good,
  },
  {
    name: "TIFF whose LZW data expand to gigabytes",
    make: () => tiff(gray(8, 8, { compression: 5, lengths: [10 * MEGABYTE] }), lzwBomb(10 * MEGABYTE)),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF whose deflate data expand to gigabytes",
    make: () => tiff(gray(8, 8, { compression: 8, lengths: [4 * MEGABYTE] }), zlibBomb(4000)),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF of 5000×5000 in strips of one row that share 4 GB of deflate data",
    make: () =>
      tiff(
        gray(SIDE, SIDE, {
          compression: 8,
          offsets: Array(SIDE).fill(8),
          lengths: Array(SIDE).fill(4 * MEGABYTE),
          rows: 1,
        }),
        zlibBomb(4000),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF whose fax lines never end",
    make: () =>
      tiff(
        gray(8, 8, { compression: 2, lengths: [10 * MEGABYTE] }).map(([tag, ...rest]) =>
          tag === 258 ? [258, SHORT, [1]] : [tag, ...rest]
        ),
        repeated([0x01, 0xf0, 0x1f], 3 * MEGABYTE),
      ),
    outcomes: ["invalid_image", "unsupported_format"],
  },
  {
    name: "TIFF with tiles of 0×0",
    make: () =>
      tiff(
        [...gray(8, 8), [322, LONG, [0]], [323, LONG, [0]], [324, LONG, [8]], [325, LONG, [64]]],
        new Uint8Array(64),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF with tiles of 2^31×2^31",
    make: () =>
      tiff(
        [...gray(8, 8), [322, LONG, [2 ** 31]], [323, LONG, [2 ** 31]], [324, LONG, [8]], [325, LONG, [64]]],
        new Uint8Array(64),
      ),
    outcomes: goodOrDamaged,
  },
  {
    name: "TIFF with 65535 channels of 65535 bits each",
    make: () =>
      tiff(
        gray(1000, 1000).map(([tag, type, values]) =>
          tag === 258 || tag === 277 ? [tag, SHORT, [65535]] : [tag, type, values]
        ),
        new Uint8Array(64),
      ),
    outcomes: ["invalid_image", "unsupported_format"],
  },
  {
    name: "TIFF with strips of no rows",
    make: () => tiff(gray(8, 8, { rows: 0 }), new Uint8Array(64)),
    outcomes: goodOrDamaged,
  },
];

const extremes: HostileFile[] = [
  { name: "one pixel", make: () => paintImage(1, 1, () => [200, 30, 30]), outcomes: good, inferred: true },
  { name: "1×5000", make: () => paintImage(1, SIDE, (_, y) => [y & 255, 30, 30]), outcomes: good, inferred: true },
  { name: "5000×1", make: () => paintImage(SIDE, 1, (x) => [x & 255, 30, 30]), outcomes: good, inferred: true },
  { name: "all black", make: () => paintImage(300, 200, () => [0, 0, 0]), outcomes: good, inferred: true },
  { name: "a single colour", make: () => paintImage(300, 200, () => [9, 99, 199]), outcomes: good, inferred: true },
  {
    name: "all transparent",
    make: () => paintImage(300, 200, (x, y) => [x & 255, y & 255, 30, 0]),
    outcomes: good,
    inferred: true,
  },
];

/** Files designed to break a decoder, or to keep it busy. */
export const HOSTILE_FILES: readonly HostileFile[] = [
  ...[...truncated, ...headersOnly, ...wrongFormats],
  ...[...jpegs, ...pngs, ...webps, ...avifs, ...gifs, ...bmps, ...tiffs, ...extremes],
];
