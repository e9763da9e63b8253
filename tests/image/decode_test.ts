import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { ImageError, type ImageErrorCode } from "../../src/base/errors.ts";
import { fixture, paintImage, type Rgb, withOrientation } from "../support/images.ts";

const limits = { maxPixels: 1_000_000 };
const RED: Rgb = [250, 10, 10];
const GREEN: Rgb = [10, 250, 10];
const BLUE: Rgb = [10, 10, 250];
const WHITE: Rgb = [250, 250, 250];

/** Red and green above blue and white. */
const quadrants = (width: number, height: number) => (x: number, y: number): Rgb =>
  y < height / 2 ? (x < width / 2 ? RED : GREEN) : (x < width / 2 ? BLUE : WHITE);

function rejectsWith(code: ImageErrorCode, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

for (const mime of ["image/png", "image/jpeg", "image/gif", "image/bmp", "image/tiff"] as const) {
  Deno.test(`decode › ${mime} keeps the colours that were painted`, async () => {
    const { data, width, height } = await decode(await paintImage(32, 16, quadrants(32, 16), mime), limits);
    assert.deepEqual([width, height, data.length], [32, 16, 32 * 16 * 4]);
    for (const [x, y, colour] of [[4, 3, RED], [28, 3, GREEN], [4, 12, BLUE], [28, 12, WHITE]] as const) {
      const pixel = data.subarray((y * 32 + x) * 4, (y * 32 + x) * 4 + 4);
      // GIF has a palette and JPEG is lossy.
      colour.forEach((value, i) => assert.ok(Math.abs(pixel[i] - value) <= 6, `(${x}, ${y}): ${pixel}`));
      assert.equal(pixel[3], 255);
    }
  });
}

// EXIF defines an orientation by the visual sides of the first stored row and the first stored column.
const sides = [
  { orientation: 1, row: "top", column: "left" },
  { orientation: 2, row: "top", column: "right" },
  { orientation: 3, row: "bottom", column: "right" },
  { orientation: 4, row: "bottom", column: "left" },
  { orientation: 5, row: "left", column: "top" },
  { orientation: 6, row: "right", column: "top" },
  { orientation: 7, row: "right", column: "bottom" },
  { orientation: 8, row: "left", column: "bottom" },
];

for (const { orientation, row, column } of sides) {
  Deno.test(`decode › EXIF orientation ${orientation} (first row ${row}, first column ${column}) comes out upright`, async () => {
    const [width, height] = [48, 32];
    const upright = quadrants(width, height);
    const rowIsVertical = row === "left" || row === "right";
    const [storedWidth, storedHeight] = rowIsVertical ? [height, width] : [width, height];
    const along = (side: string, i: number) =>
      side === "right" ? width - 1 - i : side === "bottom" ? height - 1 - i : i;
    const stored = await paintImage(storedWidth, storedHeight, (c, r) => {
      const [a, b] = [along(row, r), along(column, c)];
      return rowIsVertical ? upright(a, b) : upright(b, a);
    }, "image/jpeg");
    const image = await decode(withOrientation(stored, orientation), limits);
    assert.deepEqual([image.width, image.height], [width, height]);
    for (const [x, y, colour] of [[4, 4, RED], [44, 4, GREEN], [4, 28, BLUE], [44, 28, WHITE]] as const) {
      const pixel = image.data.subarray((y * width + x) * 4, (y * width + x) * 4 + 3);
      colour.forEach((value, i) => assert.ok(Math.abs(pixel[i] - value) <= 8, `(${x}, ${y}): ${pixel}`));
    }
  });
}

Deno.test("decode › an image over the limit is refused from its header, before its pixels are read", async () => {
  // Only the header: an attempt to read a pixel would report a damaged image.
  const header = (await paintImage(300, 200, () => RED)).slice(0, 40);
  await assert.rejects(
    () => decode(header, { maxPixels: 59_999 }),
    rejectsWith("image_too_large", /300×200 = 60000 pixels; at most 59999/),
  );
  await assert.rejects(() => decode(header, { maxPixels: 60_000 }), rejectsWith("invalid_image", /damaged/));
});

Deno.test("decode › an image that does not fit into the memory is refused, and told how many pixels do", async () => {
  // What stays in memory once ImageMagick has been used.
  await decode(await paintImage(8, 8, () => RED, "image/gif"), limits);
  const png = await paintImage(300, 200, () => RED);
  await assert.rejects(
    () => decode(png, { maxPixels: 60_000, memory: 91_000_000 }),
    rejectsWith(
      "image_too_large",
      /at most 50000 are allowed: larger PNG images do not fit into this server's memory/,
    ),
  );
  assert.equal((await decode(png, { maxPixels: 60_000, memory: 91_200_000 })).width, 300);
});

Deno.test("decode › formats and variants that are not decoded are named", async () => {
  const head = (...bytes: (number | string)[]) =>
    Uint8Array.from(bytes.flatMap((part) => typeof part === "string" ? [...new TextEncoder().encode(part)] : [part]));
  const psd = head("8BPS", 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 9, 0, 8, 0, 3);
  const xcode = head(
    0x89,
    "PNG\r\n",
    0x1a,
    "\n",
    0,
    0,
    0,
    4,
    "CgBI",
    0x50,
    0,
    0x20,
    2,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    13,
    "IHDR",
  );
  const icon = head(0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0, 0, 0, 0, 0, 22, 0, 0, 0);
  for (const [bytes, name] of [[psd, /PSD .* JPEG, PNG/], [xcode, /CgBI.* ordinary PNG/], [icon, /ICO/]] as const) {
    await assert.rejects(() => decode(bytes, limits), rejectsWith("unsupported_format", name));
  }
});

Deno.test("decode › fully transparent pixels have no colours, translucent ones keep theirs", async () => {
  const png = await paintImage(2, 1, (x) => x === 0 ? [250, 10, 10, 0] : [250, 10, 10, 1]);
  assert.deepEqual([...(await decode(png, limits)).data], [128, 128, 128, 0, 250, 10, 10, 1]);
});

Deno.test("decode › bytes that are not an image are invalid", async () => {
  for (const bytes of [new Uint8Array(), new Uint8Array(3), new TextEncoder().encode("Hello, I am a text.")]) {
    await assert.rejects(() => decode(bytes, limits), rejectsWith("invalid_image", /not an image.* JPEG, PNG/));
  }
});

Deno.test("decode › bytes that look like an image without a size are invalid", async () => {
  await assert.rejects(() => decode(new Uint8Array(100), limits), rejectsWith("invalid_image", /no pixels/));
});

Deno.test("decode › the error for an unsupported format names it and lists the supported ones", async () => {
  const svg = new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>');
  await assert.rejects(() => decode(svg, limits), rejectsWith("unsupported_format", /SVG .* JPEG, PNG/));
});

Deno.test("decode › a truncated PNG is reported as damaged, and the next image is decoded", async () => {
  const png = await paintImage(64, 64, quadrants(64, 64));
  await assert.rejects(() => decode(png.slice(0, png.length / 2), limits), rejectsWith("invalid_image", /damaged/));
  assert.equal((await decode(png, limits)).width, 64);
});

Deno.test("decode › the fixtures' photographs have their known sizes", async () => {
  const sizes = { astronaut: [512, 512], chelsea: [451, 300], coffee: [600, 400], rocket: [640, 427] };
  for (const [name, size] of Object.entries(sizes)) {
    const { width, height } = await decode(fixture(`${name}.jpg`), limits);
    assert.deepEqual([width, height], size);
  }
});

Deno.test("decode › a JPEG of which less is enough is decoded at a half, a quarter or an eighth, and tells its full size", async () => {
  const jpeg = withOrientation(await paintImage(640, 400, quadrants(640, 400), "image/jpeg"), 6);
  const seen: unknown[] = [];
  const image = await decode(jpeg, limits, (size) => {
    seen.push({ ...size });
    return { width: 90, height: 150 };
  });
  assert.deepEqual([image.width, image.height, image.fullSize], [100, 160, { width: 400, height: 640 }]);
  // The full size is asked about upright.
  assert.ok(seen.length > 0);
  assert.deepEqual([(seen[0] as { width: number }).width, (seen[0] as { height: number }).height], [400, 640]);
  const corner = image.data.subarray((4 * 100 + 90) * 4, (4 * 100 + 90) * 4 + 3);
  RED.forEach((value, i) => assert.ok(Math.abs(corner[i] - value) <= 8, `${corner}`));
});

Deno.test("decode › AVIF has a limit of its own, because its decoder takes more memory", async () => {
  const avif = fixture("formats/still.avif");
  const ispe = new TextDecoder("latin1").decode(avif).indexOf("ispe");
  new DataView(avif.buffer).setUint32(ispe + 8, 7000);
  new DataView(avif.buffer).setUint32(ispe + 12, 5000);
  await assert.rejects(
    () => decode(avif, { maxPixels: 50_000_000 }),
    rejectsWith(
      "image_too_large",
      /at most 34000000 are allowed: larger AVIF images do not fit into 1.3 GB of memory/,
    ),
  );
});

Deno.test("decode › where there is little memory, and in other formats, less is not decoded", async () => {
  const enough = () => ({ width: 10, height: 10 });
  const jpeg = await paintImage(320, 200, () => RED, "image/jpeg");
  assert.equal((await decode(jpeg, { ...limits, memory: 400_000_000 }, enough)).width, 320);
  assert.equal((await decode(await paintImage(320, 200, () => RED), limits, enough)).width, 320);
});
