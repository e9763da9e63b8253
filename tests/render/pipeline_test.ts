import assert from "node:assert/strict";
import { ImageError } from "../../src/base/errors.ts";
import type { Mask, Pixels } from "../../src/base/pixels.ts";
import { decode } from "../../src/image/decode.ts";
import { decodeMask } from "../../src/image/encode.ts";
import { blur } from "../../src/render/blur.ts";
import { visibleBox } from "../../src/render/geometry.ts";
import { renderOptionsSchema } from "../../src/render/options.ts";
import { compose } from "../../src/render/pipeline.ts";
import { fit } from "../../src/render/resize.ts";
import { fixture } from "../support/images.ts";

const limits = { maxPixels: 1_000_000 };
const options = (given: Record<string, unknown> = {}) => renderOptionsSchema.parse(given);

/** An image of one colour. */
function plain(width: number, height: number, colour = [200, 100, 50, 255]): Pixels {
  return { data: new Uint8Array(width * height * 4).map((_, i) => colour[i % 4]), width, height };
}

/** A mask of the image's own size, so that it is not resampled. */
function maskOf(width: number, height: number, value: (x: number, y: number) => number): Mask {
  const data = new Uint8Array(width * height).map((_, i) => value(i % width, Math.floor(i / width)));
  return { data, width, height };
}

const pixel = ({ data, width }: Pixels, x: number, y: number) => [...data.subarray((y * width + x) * 4).subarray(0, 4)];

Deno.test("compose › colours are not multiplied by alpha", () => {
  const mask = { data: new Uint8Array([255, 128, 1, 0]), width: 4, height: 1 };
  const { data } = compose(plain(4, 1), mask, options(), limits);
  assert.deepEqual([...data], [200, 100, 50, 255, 200, 100, 50, 128, 200, 100, 50, 1, 200, 100, 50, 0]);
});

Deno.test("compose › the image's own transparency is kept", () => {
  const { data } = compose(plain(2, 1, [9, 9, 9, 128]), maskOf(2, 1, (x) => x ? 100 : 255), options(), limits);
  assert.deepEqual([data[3], data[7]], [128, 50]);
});

Deno.test("compose › the removed background has no colours, except next to the subject", () => {
  const mask = maskOf(5, 5, (x, y) => x === 1 && y === 1 ? 255 : 0);
  const result = compose(plain(5, 5, [255, 255, 255, 255]), mask, options(), limits);
  for (let y = 0; y < 5; y++) {
    for (let x = 0; x < 5; x++) {
      const colour = Math.abs(x - 1) <= 1 && Math.abs(y - 1) <= 1 ? 255 : 0;
      assert.deepEqual(pixel(result, x, y), [colour, colour, colour, x === 1 && y === 1 ? 255 : 0], `(${x}, ${y})`);
    }
  }
});

Deno.test("compose › a background is put behind the subject", () => {
  const mask = { data: new Uint8Array([255, 128, 0]), width: 3, height: 1 };
  const red = compose(plain(3, 1), mask, options({ background: "red" }), limits);
  assert.deepEqual([...red.data], [200, 100, 50, 255, 227, 50, 25, 255, 255, 0, 0, 255]);
  const half = compose(plain(3, 1), mask, options({ background: "rgb(255 0 0 / 50%)" }), limits);
  assert.deepEqual(pixel(half, 2, 0), [255, 0, 0, 128]);
});

Deno.test("compose › crop keeps the subject and its margin, up to the image's border", () => {
  const mask = maskOf(20, 10, (x, y) => x >= 8 && x < 12 && y >= 1 && y < 5 ? 255 : 3);
  const sizes = (given: Record<string, unknown>) => {
    const { width, height } = compose(plain(20, 10), mask, options(given), limits);
    return [width, height];
  };
  assert.deepEqual(sizes({ crop: true }), [4, 4]);
  assert.deepEqual(sizes({ crop: true, margin: "2px" }), [8, 7]);
  assert.deepEqual(sizes({ crop: true, margin: "50%" }), [8, 7]);
  assert.deepEqual(sizes({ margin: "2px" }), [20, 10]);
});

Deno.test("compose › crop takes a margin for each side, in the order of CSS", () => {
  const mask = maskOf(40, 40, (x, y) => x >= 16 && x < 24 && y >= 12 && y < 22 ? 255 : 0);
  const box = (margin: string) => {
    const { width, height, foreground } = compose(plain(40, 40), mask, options({ crop: true, margin }), limits);
    return [width, height, foreground.left, foreground.top];
  };
  assert.deepEqual(box("1px 2px 3px 4px"), [14, 14, 4, 1]);
  assert.deepEqual(box("1px 2px"), [12, 12, 2, 1]);
  assert.deepEqual(box("0 10% 20%"), [10, 12, 1, 0], "percent of the larger side, 10 pixels");
});

Deno.test("compose › everything outside the region of interest is transparent", () => {
  const result = compose(plain(20, 10), maskOf(20, 10, () => 255), options({ roi: "25% 2px 15px 50%" }), limits);
  for (let y = 0; y < 10; y++) {
    for (let x = 0; x < 20; x++) {
      assert.equal(pixel(result, x, y)[3], x >= 5 && x < 15 && y >= 2 && y < 5 ? 255 : 0, `(${x}, ${y})`);
    }
  }
  assert.deepEqual(result.foreground, { left: 5, top: 2, width: 10, height: 3 });
});

Deno.test("compose › a region that exceeds the image or has no pixels is refused", () => {
  const refusal = (roi: string) => {
    try {
      compose(plain(20, 10), maskOf(20, 10, () => 255), options({ roi }), limits);
    } catch (error) {
      return (error as ImageError).code;
    }
  };
  assert.equal(refusal("0px 0px 21px 10px"), "roi_exceeds_bounds");
  assert.equal(refusal("5px 5px 5px 10px"), "roi_region_empty");
  assert.equal(refusal("60% 0% 50% 100%"), "roi_region_empty");
  assert.equal(refusal("0px 0px 20px 10px"), undefined);
});

/** A subject of 10×20 pixels at (5, 10) in an image of 100×80. */
const subject = maskOf(100, 80, (x, y) => x >= 5 && x < 15 && y >= 10 && y < 30 ? 255 : 0);

Deno.test("compose › position moves the subject and nothing else", () => {
  const at = (position: string) => {
    const result = compose(plain(100, 80), subject, options({ position }), limits);
    const { left, top, width, height } = result.foreground;
    assert.deepEqual([result.width, result.height, width, height], [100, 80, 10, 20]);
    assert.deepEqual(pixel(result, left, top), [200, 100, 50, 255]);
    assert.deepEqual(pixel(result, left + 9, top + 19), [200, 100, 50, 255]);
    assert.equal(result.data.filter((value, i) => i % 4 === 3 && value > 0).length, 200);
    return [left, top];
  };
  assert.deepEqual(at("original"), [5, 10]);
  assert.deepEqual(at("center"), [45, 30]);
  assert.deepEqual(at("0%"), [0, 0]);
  assert.deepEqual(at("100% 0%"), [90, 0]);
  assert.deepEqual(at("50% 100%"), [45, 60]);
});

Deno.test("compose › scale makes the subject fill that share of the canvas, centred by default", () => {
  const box = (given: Record<string, unknown>) => {
    const { width, height, foreground } = compose(plain(100, 80), subject, options(given), limits);
    assert.deepEqual([width, height], [100, 80]);
    return foreground;
  };
  assert.deepEqual(box({ scale: "100%" }), { left: 30, top: 0, width: 40, height: 80 });
  assert.deepEqual(box({ scale: "50%" }), { left: 40, top: 20, width: 20, height: 40 });
  assert.deepEqual(box({ scale: "50%", position: "0% 100%" }), { left: 0, top: 40, width: 20, height: 40 });
  // The subject's middle is at (10, 20): at twice the size it just fits.
  assert.deepEqual(box({ scale: "50%", position: "original" }), { left: 0, top: 0, width: 20, height: 40 });
  assert.deepEqual(box({ scale: "original" }), { left: 5, top: 10, width: 10, height: 20 });
});

Deno.test("compose › without a subject, placing changes nothing and the subject's box has no pixels", () => {
  const result = compose(plain(6, 4), maskOf(6, 4, () => 5), options({ scale: "50%" }), limits);
  assert.deepEqual(result.foreground, { left: 0, top: 0, width: 0, height: 0 });
});

Deno.test("compose › a background picture covers the result, centred", () => {
  // Three columns; a square result shows only the middle one.
  const picture = plain(30, 10);
  const colours = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]];
  for (let i = 0; i < 300; i++) picture.data.set(colours[Math.floor((i % 30) / 10)], i * 4);
  const mask = maskOf(20, 20, (x) => x < 5 ? 255 : x < 10 ? 128 : 0);
  const result = compose(plain(20, 20), mask, options({ background_image: "0".repeat(64) }), limits, picture);
  assert.deepEqual(pixel(result, 0, 10), [200, 100, 50, 255]);
  assert.deepEqual(pixel(result, 7, 10), [100, 177, 25, 255]);
  assert.deepEqual(pixel(result, 15, 10), [0, 255, 0, 255]);
  assert.deepEqual(pixel(result, 19, 0), [0, 255, 0, 255]);
  assert.deepEqual(result.foreground, { left: 0, top: 0, width: 10, height: 20 });
});

Deno.test("compose › solid makes translucent parts inside the subject opaque and keeps its edge", () => {
  // Alpha of 60 inside 200, with an edge from 0 to 200.
  const value = (x: number) => x < 20 ? 0 : x === 20 ? 100 : x < 40 ? 200 : x < 60 ? 60 : 200;
  const result = compose(plain(80, 4), maskOf(80, 4, value), options({ solid: true }), limits);
  assert.deepEqual([19, 20, 21, 45, 79].map((x) => pixel(result, x, 2)[3]), [0, 100, 255, 255, 255]);
});

Deno.test("compose › without a subject, crop keeps the whole image", () => {
  const { width, height } = compose(plain(6, 4), maskOf(6, 4, () => 0), options({ crop: "true" }), limits);
  assert.deepEqual([width, height], [6, 4]);
});

Deno.test("compose › shrinking does not mix hidden colours into the edge", () => {
  const image = plain(40, 40, [0, 255, 0, 255]);
  for (let i = 0; i < image.data.length / 2; i += 4) image.data.set([200, 0, 0], i);
  const result = compose(image, maskOf(40, 40, (_, y) => y < 20 ? 255 : 0), options({ size: "13x13" }), limits);
  assert.deepEqual([result.width, result.height], [13, 13]);
  for (let i = 0; i < result.data.length; i += 4) {
    if (result.data[i + 3] > 0) assert.deepEqual([...result.data.slice(i, i + 3)], [200, 0, 0]);
  }
});

Deno.test("compose › a result over the pixel limit is refused before it is rendered", () => {
  assert.throws(
    () => compose(plain(4, 4), maskOf(4, 4, () => 255), options({ size: "2000x2000", upscale: true }), limits),
    (error: unknown) =>
      error instanceof ImageError && error.code === "image_too_large" && /2000×2000/.test(error.message),
  );
});

Deno.test("compose › threshold hardens the mask and feather softens it", () => {
  const mask = maskOf(40, 1, (x) => x < 20 ? 127 : 128);
  const hard = compose(plain(40, 1), mask, options({ threshold: 128 }), limits);
  assert.deepEqual([hard.data[19 * 4 + 3], hard.data[20 * 4 + 3]], [0, 255]);
  const soft = compose(plain(40, 1), mask, options({ threshold: 128, feather: 2 }), limits);
  const alpha = [...soft.data].filter((_, i) => i % 4 === 3);
  assert.ok(alpha[18] > 0 && alpha[18] < alpha[19] && alpha[19] < alpha[20] && alpha[20] < 255, `${alpha}`);
  assert.deepEqual([alpha[0], alpha[39]], [0, 255]);
});

Deno.test("compose › refine moves the edge to that of the image, and removes the old background's colour", () => {
  // A grey subject before green, under a mask of a quarter of the size: its edge is blurred over several pixels.
  const image = plain(64, 64, [0, 255, 0, 255]);
  for (let y = 0; y < 64; y++) image.data.fill(90, y * 64 * 4, (y * 64 + 31) * 4);
  for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
  const mask = maskOf(16, 16, (x) => x < 7 ? 255 : x === 7 ? 190 : 0);
  const copy = { ...image, data: image.data.slice() };
  const [rough, refined] = [
    compose(copy, mask, options(), limits),
    compose(image, mask, options({ refine: true }), limits),
  ];
  const error = (result: Pixels) =>
    [...Array(64).keys()].reduce((sum, x) => sum + Math.abs(pixel(result, x, 32)[3] - (x < 31 ? 255 : 0)), 0);
  assert.ok(error(refined) < error(rough) / 2, `${error(refined)} and ${error(rough)}`);
});

Deno.test("blur › has the given standard deviation and keeps the sum", () => {
  for (const sigma of [0.5, 1, 2.5, 8]) {
    const size = 121;
    const point = new Uint8Array(size);
    point.fill(255, 59, 62);
    const blurred = Float64Array.from(
      blur(new Uint8Array(size * size).map((_, i) => point[i % size]), size, size, sigma),
    );
    const row = blurred.subarray(0, size);
    const sum = row.reduce((total, value) => total + value, 0);
    assert.ok(Math.abs(sum - 3 * 255) < 25, `sigma ${sigma}: ${sum}`);
    const variance = row.reduce((total, value, x) => total + value * (x - 60) ** 2, 0) / sum;
    const expected = sigma * sigma + 2 / 3;
    assert.ok(Math.abs(variance - expected) / expected < 0.06, `sigma ${sigma}: ${variance}, not ${expected}`);
  }
});

Deno.test("fit › keeps proportions and enlarges only with `upscale`", () => {
  const size = { width: 400, height: 200 };
  assert.deepEqual(fit(size, { width: 100, height: 100 }, false), { width: 100, height: 50 });
  assert.deepEqual(fit(size, { height: 100 }, false), { width: 200, height: 100 });
  assert.deepEqual(fit(size, { width: 800 }, false), size);
  assert.deepEqual(fit(size, { width: 800 }, true), { width: 800, height: 400 });
  const { width, height } = fit(size, { pixels: 50_001 }, false);
  assert.ok(width * height <= 50_001 && width * height > 49_000, `${width}×${height}`);
  assert.deepEqual(fit({ width: 1, height: 5000 }, { width: 10, height: 10 }, false), { width: 1, height: 10 });
});

Deno.test("visibleBox › encloses every visible pixel", () => {
  const image = plain(9, 9, [1, 1, 1, 0]);
  assert.equal(visibleBox(image), undefined);
  image.data[(2 * 9 + 3) * 4 + 3] = 255;
  image.data[(6 * 9 + 4) * 4 + 3] = 20;
  image.data[3] = 5;
  assert.deepEqual(visibleBox(image), { left: 3, top: 2, width: 2, height: 5 });
});

Deno.test("compose › smooth has the result of rembg's post-processing", async () => {
  const known = decodeMask(fixture("astronaut.rembg-u2netp.mask.png"));
  const expected = await decode(fixture("astronaut.rembg-ppm.mask.png"), limits);
  const { width, height } = known;
  const { data } = compose(plain(width, height), known, options({ smooth: true, channels: "alpha" }), limits);
  let different = 0;
  for (let i = 0; i < width * height; i++) {
    const alpha = data[i * 4 + 3];
    assert.ok(alpha === 0 || alpha === 255);
    if (alpha !== expected.data[i * 4]) different++;
  }
  // Our blur consists of box blurs, which differ from a Gaussian by less than a grey level.
  assert.ok(different / (width * height) < 0.001, `${different} pixels differ`);
});

Deno.test("compose › smooth removes lines that are less than three pixels wide", () => {
  const mask = maskOf(40, 20, (x, y) => x === 5 || (x > 15 && x < 35 && y > 4 && y < 16) ? 255 : 0);
  const { data } = compose(plain(40, 20), mask, options({ smooth: true }), limits);
  assert.deepEqual([data[(10 * 40 + 5) * 4 + 3], data[(10 * 40 + 25) * 4 + 3]], [0, 255]);
});
