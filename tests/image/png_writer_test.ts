import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
// @ts-types="@types/pngjs"
import { PNG } from "pngjs";
import { decode } from "../../src/image/decode.ts";
import { writePng } from "../../src/image/png_writer.ts";
import type { Pixels } from "../../src/base/pixels.ts";
import { fixture, PHOTOGRAPHS } from "../support/images.ts";

/** Reproducible noise: digests of the positions. */
function noise(width: number, height: number): Pixels {
  const data = new Uint8Array(4 * width * height);
  for (let at = 0; at < data.length; at += 32) {
    const bytes = createHash("sha256").update(`${at}`).digest();
    data.set(bytes.subarray(0, Math.min(32, data.length - at)), at);
  }
  return { data, width, height };
}

const paint = (width: number, height: number, colour: (x: number, y: number) => number[]): Pixels => ({
  data: Uint8Array.from({ length: 4 * width * height }, (_, i) => {
    return colour((i >> 2) % width, Math.floor((i >> 2) / width))[i & 3];
  }),
  width,
  height,
});

const write = ({ data, width, height }: Pixels) => writePng(data, width, height, "rgba");

/** Decodes with a library that shares no code with the writer. */
function pixelsIn(file: Uint8Array<ArrayBuffer>): Pixels {
  const { data, width, height } = PNG.sync.read(Buffer.from(file.buffer));
  return { data: new Uint8Array(data), width, height };
}

Deno.test("PNG writer › every pixel is kept, for every size and kind of image", () => {
  const images = [
    ...[[1, 1], [1, 5], [5, 1], [3, 2], [257, 3], [640, 427], [1, 35_000]].map(([width, height]) =>
      noise(width, height)
    ),
    paint(300, 200, () => [0, 0, 0, 0]),
    paint(300, 200, () => [255, 255, 255, 255]),
    // Opaque and gray, opaque next to empty, hidden colours, and every value of alpha.
    paint(200, 200, (x, y) => [(x * y) % 256, (x * y) % 256, (x * y) % 256, 255]),
    paint(200, 200, (x, y) => (x - 100) ** 2 + (y - 100) ** 2 < 6400 ? [x, y, 128, 255] : [0, 0, 0, 0]),
    paint(200, 200, (x, y) => [x, y, x ^ y, 0]),
    paint(256, 30, (x, y) => [255 - x, 8 * y, 3, x]),
  ];
  for (const image of images) {
    const { data, width, height } = image;
    assert.deepEqual(pixelsIn(write(image)), image, `${width}×${height}`);
    const gray = data.subarray(0, width * height);
    const back = pixelsIn(writePng(gray, width, height, "gray")).data.filter((_, i) => i % 4 === 0);
    assert.deepEqual(back, gray, `${width}×${height}, gray`);
  }
});

Deno.test("PNG writer › photographs are kept, in smaller files than pngjs writes with its filter for averages", async () => {
  for (const name of PHOTOGRAPHS) {
    const photograph = await decode(fixture(`${name}.jpg`), { maxPixels: 1e6 });
    const file = write(photograph);
    assert.deepEqual(pixelsIn(file), { data: photograph.data, width: photograph.width, height: photograph.height });
    const { data, width, height } = photograph;
    const options = { deflateLevel: 3, deflateStrategy: 3, filterType: 3 } as const;
    const other = PNG.sync.write(
      { data: Buffer.from(data.buffer, data.byteOffset, data.byteLength), width, height } as PNG,
      options,
    );
    assert.ok(file.length < 0.99 * other.length, `${name}: ${file.length} of ${other.length} bytes`);
  }
});

Deno.test("PNG writer › repetitions are compressed, and noise grows by less than 1 %", () => {
  const tile = noise(64, 64);
  const tiled = paint(512, 512, (x, y) => {
    const at = 4 * ((y % 64) * 64 + x % 64);
    return [...tile.data.subarray(at, at + 4)];
  });
  const { length } = write(tiled);
  assert.ok(length < tiled.data.length / 7, `${length} bytes`);
  const rough = noise(512, 512);
  assert.ok(write(rough).length < 1.01 * rough.data.length);
});
