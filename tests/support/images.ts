import { Jimp } from "jimp";

export type Rgb = readonly [red: number, green: number, blue: number];
type Mime = "image/png" | "image/jpeg" | "image/gif" | "image/bmp" | "image/tiff";

/** The bytes of a file under `tests/fixtures/`. */
export function fixture(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
}

export const PHOTOGRAPHS = ["astronaut", "chelsea", "coffee", "rocket"];

/** An image file whose pixel at (x, y) has the colour `paint(x, y)`. */
export async function paintImage(
  width: number,
  height: number,
  paint: (x: number, y: number) => readonly [...Rgb, alpha?: number],
  mime: Mime = "image/png",
): Promise<Uint8Array<ArrayBuffer>> {
  const image = new Jimp({ width, height });
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const [red, green, blue, alpha = 255] = paint(x, y);
      image.bitmap.data.set([red, green, blue, alpha], at);
    }
  }
  return new Uint8Array(
    await (mime === "image/jpeg" ? image.getBuffer(mime, { quality: 100 }) : image.getBuffer(mime)),
  );
}

/** A bright disc on a dark background, quick to make and to decode. Each seed gives a different image. */
export function discImage(seed: number, size = 64): Promise<Uint8Array<ArrayBuffer>> {
  return paintImage(size, size, (x, y) => {
    const inside = Math.hypot(x - size / 2, y - size / 2) < size / 3;
    return inside ? [250, 200, seed % 256] : [seed >> 8 & 255, 40, 30];
  });
}

/** A JPEG file with an EXIF orientation tag (CIPA DC-008; TIFF 6.0 for the layout). */
export function withOrientation(jpeg: Uint8Array, orientation: number): Uint8Array<ArrayBuffer> {
  const tiff = [
    ...[0x4d, 0x4d, 0x00, 0x2a, 0, 0, 0, 8], // big-endian, first directory at 8
    ...[0, 1], // one tag
    ...[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0], // Orientation, SHORT, one value
    ...[0, 0, 0, 0], // no next directory
  ];
  const exif = [...new TextEncoder().encode("Exif\0\0"), ...tiff];
  const segment = [0xff, 0xe1, 0, exif.length + 2, ...exif];
  return new Uint8Array([...jpeg.slice(0, 2), ...segment, ...jpeg.slice(2)]);
}
