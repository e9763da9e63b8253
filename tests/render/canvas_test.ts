import assert from "node:assert/strict";
import type { Mask, Pixels } from "../../src/base/pixels.ts";
import { renderOptionsSchema } from "../../src/render/options.ts";
import { compose } from "../../src/render/pipeline.ts";

const limits = { maxPixels: 1_000_000 };

/** A photograph of 40×20 pixels whose subject is `box`, or has none. */
function photograph(box?: { left: number; top: number; width: number; height: number }): [Pixels, Mask] {
  const [width, height] = [40, 20];
  const isSubject = (x: number, y: number) =>
    box !== undefined && x >= box.left && x < box.left + box.width && y >= box.top && y < box.top + box.height;
  const mask = new Uint8Array(width * height).map((_, i) => isSubject(i % width, Math.floor(i / width)) ? 255 : 0);
  const data = new Uint8Array(width * height * 4).map((_, i) => [200, 100, 50, 255][i % 4]);
  return [{ data, width, height }, { data: mask, width, height }];
}

function onCanvas(options: Record<string, string>, box?: Parameters<typeof photograph>[0]) {
  return compose(...photograph(box), renderOptionsSchema.parse(options), limits);
}

const box = { left: 0, top: 4, width: 10, height: 16 };

Deno.test("canvas › the result has exactly this size, and the subject fills its share of it", () => {
  for (const [width, height] of [[200, 200], [300, 100], [7, 90]]) {
    const result = onCanvas({ canvas: `${width}x${height}`, fill: "50%" }, box);
    assert.deepEqual([result.width, result.height], [width, height]);
    const { foreground } = result;
    const share = Math.max(foreground.width / width, foreground.height / height);
    assert.ok(Math.abs(share - 0.5) <= 1 / Math.min(width, height), `${width}×${height}: ${share}`);
    const off = [foreground.left - (width - foreground.width) / 2, foreground.top - (height - foreground.height) / 2];
    assert.ok(off.every((pixels) => Math.abs(pixels) <= 1), "in the middle");
  }
});

Deno.test("canvas › without `fill`, the subject fills 85 %, and there is space where the photograph ends", () => {
  const { foreground } = onCanvas({ canvas: "200x200" }, box);
  assert.ok(Math.abs(foreground.height - 170) <= 1);
  assert.ok(foreground.left > 10 && foreground.top > 10, "the subject touched the photograph's border");
});

Deno.test("canvas › proportions without a size keep the subject's pixels", () => {
  const square = onCanvas({ canvas: "1:1", fill: "80%" }, box);
  assert.deepEqual([square.width, square.height], [20, 20]);
  assert.deepEqual([square.foreground.width, square.foreground.height], [10, 16]);
  const wide = onCanvas({ canvas: "2:1", fill: "100%", size: "16x" }, box);
  assert.deepEqual([wide.width, wide.height], [16, 8]);
  const enlarged = onCanvas({ canvas: "4:5", size: "80x100", upscale: "true" }, box);
  assert.deepEqual([enlarged.width, enlarged.height], [80, 100]);
});

Deno.test("canvas › position puts the subject at a border, or where it was", () => {
  const bottom = onCanvas({ canvas: "100x100", fill: "50%", position: "50% 100%" }, box).foreground;
  assert.equal(bottom.top + bottom.height, 100);
  const original = onCanvas({ canvas: "100x100", fill: "50%", position: "original" }, box).foreground;
  assert.deepEqual([original.left, original.top + original.height], [0, 100]);
});

Deno.test("canvas › the rest is transparent, or the background", () => {
  assert.equal(onCanvas({ canvas: "100x100" }, box).data[3], 0);
  assert.deepEqual([...onCanvas({ canvas: "100x100", background: "white" }, box).data.subarray(0, 4)], [
    255,
    255,
    255,
    255,
  ]);
});

Deno.test("canvas › without a subject it is empty, and it is never larger than results may be", () => {
  const empty = onCanvas({ canvas: "30x50" });
  assert.deepEqual([empty.width, empty.height, empty.foreground.width], [30, 50, 0]);
  assert.ok(empty.data.every((value) => value === 0));
  const large = { code: "image_too_large", message: /canvas would have 2000×2000 = 4000000 pixels.*choose a smaller/ };
  assert.throws(() => onCanvas({ canvas: "2000x2000" }, box), large);
});
