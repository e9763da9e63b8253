import avifDecoder from "@jsquash/avif/codec/dec/avif_dec.wasm" with { type: "bytes" };
import decodeStill, { init } from "@jsquash/avif/decode.js";
import type { Size } from "../../base/layout.ts";
import { type ColourTag, MAX_PROFILE_BYTES } from "../colour/tag.ts";
import { asPixels, type Bytes, type DecodedFile, type Decoder, exactBuffer, textAt, viewOf } from "./format.ts";
import { magickDecoder } from "./magick.ts";
import { wasmCodec } from "./wasm_codec.ts";

// HEIF (ISO/IEC 23008-12) and, of what it is made of, ISO/IEC 14496-12: the container of AVIF and HEIC.

/** Brands of files whose pictures are coded as AV1, and as HEVC. */
const AVIF_BRANDS = ["avif", "avis"];
const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"];
/** Of any HEIF file: its items tell. */
const GENERAL_BRANDS = ["mif1", "mif2", "msf1", "miaf"];

/** A box has few children; a hostile one might have millions. */
const MAX_CHILDREN = 1000;

const libavif = wasmCodec({ binary: avifDecoder, init, run });
const magickAvif = magickDecoder("AVIF");
const magickHeic = magickDecoder("HEIC");

async function run(file: ArrayBuffer) {
  const image = await decodeStill(file);
  if (image === null) throw new Error("it contains no image");
  return image;
}

/** AVIF or HEIC, by all brands of the file rather than the main one; undefined if it is neither. */
export function identifyHeif(bytes: Bytes): "avif" | "heic" | undefined {
  if (textAt(bytes, 4, 4) !== "ftyp") return undefined;
  const size = Math.min(viewOf(bytes).getUint32(0), bytes.length, 512);
  const brands = Array.from({ length: Math.max(0, Math.floor(size / 4) - 2) }, (_, i) => textAt(bytes, 8 + 4 * i, 4));
  if (brands.some((brand) => AVIF_BRANDS.includes(brand))) return "avif";
  if (brands.some((brand) => HEIC_BRANDS.includes(brand))) return "heic";
  if (!brands.some((brand) => GENERAL_BRANDS.includes(brand))) return undefined;
  // Item types stand in the metadata, in front of the pictures.
  return textAt(bytes, 0, 65_536).includes("av01") ? "avif" : "heic";
}

/** Decodes an AVIF file, or the first picture of a sequence. */
export const decodeAvif: Decoder = async (bytes, checkSize) => {
  const item = readPrimaryItem(bytes);
  if (item.size !== undefined) checkSize(item.size);
  // libavif's simple interface decodes neither sequences nor some layouts of tiles.
  const decoded = item.size && await libavif(exactBuffer(bytes)).catch(() => undefined);
  if (decoded !== undefined) return { ...asPixels(decoded), orientation: item.orientation, colour: item.colour };
  return withTags(await magickAvif(bytes, checkSize), item);
};

/** Decodes the primary picture of a HEIC file, also one that consists of tiles. */
export const decodeHeic: Decoder = async (bytes, checkSize) =>
  withTags(await magickHeic(bytes, checkSize), readPrimaryItem(bytes));

/** libheif has turned the picture; EXIF, which ImageMagick reports, must not turn it again. */
function withTags(image: DecodedFile, { colour }: Item): DecodedFile {
  return { ...image, orientation: 1, colour: image.colour ?? colour };
}

/** What the properties of a file's primary item say. */
interface Item {
  readonly size?: Size;
  /** As EXIF counts. */
  readonly orientation?: number;
  readonly colour?: ColourTag;
}

interface Box {
  readonly type: string;
  readonly data: Bytes;
}

function readPrimaryItem(bytes: Bytes): Item {
  try {
    // A full box: four bytes of version and flags come first.
    const meta = [...boxes(find([...boxes(bytes)], "meta").subarray(4))];
    const primary = viewOf(find(meta, "pitm"));
    const id = primary.getUint8(0) === 0 ? primary.getUint16(4) : primary.getUint32(4);
    const properties = [...boxes(find(meta, "iprp"))];
    const all = [...boxes(find(properties, "ipco"))];
    return readProperties(associated(find(properties, "ipma"), id).flatMap((index) => all[index - 1] ?? []));
  } catch {
    // A sequence need not have items; and the decoder has the last word about damage.
    return {};
  }
}

function* boxes(data: Bytes): Generator<Box> {
  const view = viewOf(data);
  for (let at = 0, left = MAX_CHILDREN; at + 8 <= data.length && left > 0; left--) {
    const short = view.getUint32(at);
    const [LONG, TO_THE_END] = [1, 0];
    const header = short === LONG ? 16 : 8;
    const size = short === LONG ? Number(view.getBigUint64(at + 8)) : short === TO_THE_END ? data.length - at : short;
    if (size < header) return;
    yield { type: textAt(data, at + 4, 4), data: data.subarray(at + header, at + size) };
    at += size;
  }
}

function find(all: Box[], type: string): Bytes {
  const box = all.find((box) => box.type === type);
  if (box === undefined) throw new Error(`it has no ${type} box`);
  return box.data;
}

/** The numbers of an item's properties, in order (ISO/IEC 23008-12, 9.3: `ItemPropertyAssociationBox`). */
function associated(ipma: Bytes, id: number): number[] {
  const view = viewOf(ipma);
  const [version, wide] = [ipma[0], (ipma[3] & 1) === 1];
  for (let left = Math.min(view.getUint32(4), MAX_CHILDREN), at = 8; left > 0; left--) {
    const item = version < 1 ? view.getUint16(at) : view.getUint32(at);
    at += version < 1 ? 2 : 4;
    const count = view.getUint8(at++);
    const step = wide ? 2 : 1;
    // The highest bit says whether the property is essential.
    if (item === id) {
      return Array.from(
        { length: count },
        (_, i) => wide ? view.getUint16(at + 2 * i) & 0x7fff : view.getUint8(at + i) & 0x7f,
      );
    }
    at += count * step;
  }
  return [];
}

function readProperties(properties: Box[]): Item {
  let size: Size | undefined;
  let [icc, cicp]: (ColourTag | undefined)[] = [];
  let turned: Corners = UPRIGHT;
  for (const { type, data } of properties) {
    const view = viewOf(data);
    if (type === "ispe") size = { width: view.getUint32(4), height: view.getUint32(8) };
    if (type === "irot") { for (let turns = data[0] & 3; turns > 0; turns--) turned = quarterTurn(turned); }
    if (type === "imir") turned = mirror(turned, data[0] & 1);
    if (type !== "colr") continue;
    const kind = textAt(data, 0, 4);
    if (kind === "nclx") cicp = { kind: "cicp", primaries: view.getUint16(4), transfer: view.getUint16(6) };
    if ((kind === "prof" || kind === "rICC") && data.length <= MAX_PROFILE_BYTES) {
      icc = { kind: "icc", profile: data.slice(4) };
    }
  }
  return { size, orientation: orientationOf(turned), colour: icc ?? cicp };
}

/** The corners of the stored picture, in the places in which they are shown: clockwise from the top left. */
type Corners = readonly [number, number, number, number];
const UPRIGHT: Corners = [0, 1, 2, 3];

/** Anticlockwise. */
function quarterTurn([a, b, c, d]: Corners): Corners {
  return [b, c, d, a];
}

/** Exchanges top and bottom, or, with an axis of 1, left and right. */
function mirror([a, b, c, d]: Corners, axis: number): Corners {
  return axis === 0 ? [d, c, b, a] : [b, a, d, c];
}

function orientationOf([first, second]: Corners): number {
  return 1 + ["01", "10", "23", "32", "03", "30", "21", "12"].indexOf(`${first}${second}`);
}
