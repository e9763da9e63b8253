import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { ImageError } from "../../src/base/errors.ts";
import { fixture } from "../support/images.ts";

const limits = { maxPixels: 1_000_000 };
const photograph = fixture("coffee.jpg");

const percentOf = async (file: Uint8Array<ArrayBuffer>): Promise<number> => {
  const error = await decode(file, limits).then(() => undefined, (error) => error);
  assert.ok(error instanceof ImageError, `${error}`);
  assert.equal(error.code, "invalid_image");
  const [, percent] = /the file ends after (\d+) % of its rows/.exec(error.message) ?? [];
  assert.ok(percent !== undefined, error.message);
  return Number(percent);
};

const isRefused = async (file: Uint8Array<ArrayBuffer>) =>
  await assert.rejects(
    () => decode(file, limits),
    (error) => error instanceof ImageError && error.code === "invalid_image" && !error.message.includes("\n"),
  );

const concat = (...parts: Iterable<number>[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const END_OF_IMAGE = [0xff, 0xd9];

Deno.test("cut-off files › a JPEG tells how many of its rows came", async () => {
  for (const share of [0.3, 0.5, 0.9]) {
    const percent = await percentOf(photograph.slice(0, photograph.length * share));
    assert.ok(Math.abs(percent - 100 * share) < 25, `${percent} % of ${share}`);
  }
});

Deno.test("cut-off files › a JPEG that ends early in spite of a last marker is refused", async () => {
  const half = concat(photograph.subarray(0, photograph.length / 2), END_OF_IMAGE);
  assert.ok(await percentOf(half) < 75);
});

Deno.test("cut-off files › a JPEG that lacks only its last marker is the picture", async () => {
  for (const name of ["coffee.jpg", "formats/progressive.jpg", "formats/cmyk.jpg", "unusual/twelve-bit.jpg"]) {
    const file = fixture(name);
    assert.deepEqual([...file.slice(-2)], END_OF_IMAGE);
    assert.deepEqual(await decode(file.slice(0, -2), limits), await decode(file, limits), name);
  }
});

Deno.test("cut-off files › a progressive JPEG without its last scans is refused", async () => {
  const file = fixture("formats/progressive.jpg");
  const SCAN = 0xda;
  const scans = [...file.keys()].filter((at) => file[at] === 0xff && file[at + 1] === SCAN);
  assert.ok(scans.length > 3);
  for (const at of scans.slice(1)) await isRefused(file.slice(0, at));
});

Deno.test("cut-off files › a TIFF tells how many of its rows came", async () => {
  for (const name of ["formats/raw.tiff", "unusual/planar.tiff", "unusual/tiles.tiff", "unusual/big.tiff"]) {
    const file = fixture(name);
    // What Pillow writes has its directory at the end.
    const percent = name.startsWith("formats/") ? 0 : await percentOf(file.slice(0, file.length * 0.7));
    assert.ok(percent < 80, `${name}: ${percent}`);
  }
});

for (
  const name of [
    ...[
      "unusual/cmyk-profile.jpg",
      "unusual/twelve-bit.jpg",
      "formats/raw.tiff",
      "unusual/tiles.tiff",
      "unusual/jpeg.tiff",
    ],
    ...[
      "formats/alpha.png",
      "formats/interlaced.png",
      "formats/lossy.webp",
      "formats/still.avif",
      "unusual/still.heic",
    ],
    ...["unusual/lossless.jxl", "formats/animated.gif", "formats/still.bmp", "unusual/big.tiff"],
  ]
) {
  Deno.test(`cut-off files › ${name} is refused when a third of it is missing`, async () => {
    const file = fixture(name);
    await isRefused(file.slice(0, name.includes("animated") ? file.length / 3 : file.length * 2 / 3));
  });
}
