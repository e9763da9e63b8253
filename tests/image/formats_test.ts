import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { encode, encodeGray } from "../../src/image/encode.ts";
import { ImageError } from "../../src/base/errors.ts";
import type { Pixels } from "../../src/base/pixels.ts";
import { fixture } from "../support/images.ts";

const limits = { maxPixels: 1_000_000 };
const [WIDTH, HEIGHT] = [48, 32];

/** For each quarter of the fixtures: the x and y of a pixel, and its colour. */
const RGB = [[12, 8, 250, 10, 10], [36, 8, 10, 250, 10], [12, 24, 10, 10, 250], [36, 24, 250, 250, 250]];
/** The same for grayscale fixtures, by luma (ITU-R BT.601). */
const GRAY = RGB.map(([x, y, r, g, b]) => [x, y, ...Array(3).fill(0.299 * r + 0.587 * g + 0.114 * b)]);

function assertPicture(image: Pixels, colours: number[][], tolerance: number, rightAlpha = 255): void {
  assert.deepEqual([image.width, image.height, image.data.length], [WIDTH, HEIGHT, WIDTH * HEIGHT * 4]);
  for (const [x, y, ...colour] of colours) {
    const pixel = image.data.subarray((y * WIDTH + x) * 4, (y * WIDTH + x) * 4 + 4);
    colour.forEach((value, i) => assert.ok(Math.abs(pixel[i] - value) <= tolerance, `(${x}, ${y}): ${pixel}`));
    assert.equal(pixel[3], x < WIDTH / 2 ? 255 : rightAlpha);
  }
}

const files: [name: string, tolerance: number, more?: { colours?: number[][]; rightAlpha?: number }][] = [
  ["baseline.jpg", 4],
  ["progressive.jpg", 8],
  ["grayscale.jpg", 4, { colours: GRAY }],
  ["cmyk.jpg", 8],
  ["ycck.jpg", 8],
  ["palette.png", 0],
  ["grayscale.png", 1, { colours: GRAY }],
  ["sixteen-bit.png", 0],
  ["interlaced.png", 0],
  ["alpha.png", 0, { rightAlpha: 128 }],
  ["lossy.webp", 8],
  ["lossless.webp", 0],
  ["alpha-lossy.webp", 8, { rightAlpha: 128 }],
  ["alpha-lossless.webp", 0, { rightAlpha: 128 }],
  ["animated.webp", 8],
  ["animated-alpha.webp", 8, { rightAlpha: 128 }],
  ["still.avif", 8],
  ["alpha.avif", 8, { rightAlpha: 128 }],
  ["animated.gif", 6],
  ["still.bmp", 0],
  ["palette.bmp", 0],
  ["raw.tiff", 0],
  ["tiff_lzw.tiff", 0],
  ["tiff_adobe_deflate.tiff", 0],
  ["packbits.tiff", 0],
  ["pages.tiff", 0],
];

for (const [name, tolerance, { colours = RGB, rightAlpha = 255 } = {}] of files) {
  Deno.test(`formats › ${name} is decoded with its colours and alpha`, async () => {
    assertPicture(await decode(fixture(`formats/${name}`), limits), colours, tolerance, rightAlpha);
  });
}

Deno.test("formats › every fixture is tested", () => {
  const folder = [...Deno.readDirSync(new URL("../fixtures/formats/", import.meta.url))].map(({ name }) => name);
  assert.deepEqual(folder.filter((name) => name !== "make.py").sort(), files.map(([name]) => name).sort());
});

const picture = () => decode(fixture("formats/alpha.png"), limits);
const opaque = () => decode(fixture("formats/interlaced.png"), limits);

Deno.test("encode › PNG and lossless WebP keep every pixel", async () => {
  for (const options of [{ format: "png" }, { format: "webp", quality: 100 }] as const) {
    assert.deepEqual(await decode(await encode(await picture(), options), limits), await picture(), options.format);
  }
});

Deno.test("encode › WebP and JPEG stay close to the image, and lower quality makes smaller files", async () => {
  const photograph = await decode(fixture("chelsea.jpg"), limits);
  for (const format of ["webp", "jpeg"] as const) {
    const [best, worse] = [
      await encode(photograph, { format, quality: 95 }),
      await encode(photograph, { format, quality: 30 }),
    ];
    assert.ok(worse.length < best.length / 2, `${format}: ${worse.length} and ${best.length} bytes`);
    assertPicture(await decode(await encode(await opaque(), { format, quality: 95 }), limits), RGB, 10);
  }
});

Deno.test("encode › PNG and JPEG keep the resolution, to a hundredth of a dot per inch and to a dot", async () => {
  const density = { x: 300, y: 150 };
  for (const format of ["png", "jpeg"] as const) {
    const file = await encode({ ...await opaque(), density }, { format, density });
    const read = (await decode(file, limits)).density!;
    assert.ok(Math.abs(read.x - 300) < 0.02 && Math.abs(read.y - 150) < 0.02, `${format}: ${JSON.stringify(read)}`);
    assert.equal((await decode(await encode(await opaque(), { format }), limits)).density, undefined);
  }
});

Deno.test("encode › PNG and JPEG say that they are sRGB", async () => {
  const text = (file: Uint8Array) => new TextDecoder("latin1").decode(file);
  assert.equal(text(await encode(await opaque(), { format: "png" })).indexOf("sRGB"), 37);
  assert.equal(text(await encode(await opaque(), { format: "jpeg" })).indexOf("ICC_PROFILE"), 24);
});

Deno.test("encode › a mask is grayscale in every format", async () => {
  const data = new Uint8Array(WIDTH * HEIGHT).map((_, i) => (i % WIDTH) * 5);
  for (const format of ["png", "webp", "jpeg"] as const) {
    const file = await encodeGray({ data, width: WIDTH, height: HEIGHT }, { format, quality: 100 });
    const image = await decode(file, limits);
    for (let i = 0; i < data.length; i++) {
      for (const channel of [0, 1, 2]) {
        const value = image.data[i * 4 + channel];
        assert.ok(Math.abs(value - data[i]) <= 3, `${format}: ${value} and ${data[i]}`);
      }
      assert.equal(image.data[i * 4 + 3], 255);
    }
  }
});

Deno.test("encode › an image that the format cannot hold is refused, with the format's limit", async () => {
  const wide = { data: new Uint8Array(20_000 * 4), width: 20_000, height: 1 };
  await assert.rejects(() => encode(wide, { format: "webp" }), (error: unknown) => {
    return error instanceof ImageError && /20000×1 pixels; webp allows at most 16383/.test(error.message);
  });
  assert.equal((await decode(await encode(wide, { format: "png" }), limits)).width, 20_000);
});
