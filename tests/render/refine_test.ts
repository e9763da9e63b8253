import assert from "node:assert/strict";
import type { Pixels } from "../../src/base/pixels.ts";
import { resampleGray } from "../../src/image/resample.ts";
import { decontaminate } from "../../src/render/matting/decontaminate.ts";
import { refineAlpha } from "../../src/render/matting/refine_alpha.ts";
import type { Rgb } from "../support/images.ts";

const SUBJECT: Rgb = [200, 60, 40];
const BACKGROUND: Rgb = [30, 90, 160];

type Shape = (x: number, y: number) => number;

/** `alpha(x, y)`, 0–1, for every pixel: height×width, 0–255. */
function drawAlpha(width: number, height: number, alpha: Shape): Uint8Array<ArrayBuffer> {
  return new Uint8Array(width * height).map((_, i) => Math.round(255 * alpha(i % width, Math.floor(i / width))));
}

/** The subject over the background, with this alpha. */
function mix(alpha: Uint8Array, width: number, height: number, subject = SUBJECT, background = BACKGROUND): Pixels {
  const data = new Uint8Array(alpha.length * 4).fill(255);
  for (let i = 0; i < alpha.length; i++) {
    const a = alpha[i] / 255;
    for (let c = 0; c < 3; c++) data[i * 4 + c] = Math.round(a * subject[c] + (1 - a) * background[c]);
  }
  return { data, width, height };
}

/** Alpha, downsampled to a mask of this size and upsampled again. */
function blurred(alpha: Uint8Array, width: number, height: number, mask: { width: number; height: number }) {
  return resampleGray(
    resampleGray(alpha, width, height, mask.width, mask.height),
    mask.width,
    mask.height,
    width,
    height,
  );
}

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
}

const [width, height] = [160, 120];
const mask = { width: 20, height: 15 };
const disc: Shape = (x, y) => Math.max(0, Math.min(1, 40 - Math.hypot(x - 80, y - 60)));

Deno.test("refineAlpha › an edge that the mask blurs moves to the image's edge", () => {
  const truth = drawAlpha(width, height, disc);
  const alpha = blurred(truth, width, height, mask);
  const refined = refineAlpha(mix(truth, width, height), alpha, mask);
  const [before, after] = [meanDifference(alpha, truth), meanDifference(refined, truth)];
  assert.ok(after < before / 3, `${before} before, ${after} after`);
});

Deno.test("refineAlpha › away from edges, alpha does not change", () => {
  const truth = drawAlpha(width, height, disc);
  const alpha = blurred(truth, width, height, mask);
  const refined = refineAlpha(mix(truth, width, height), alpha, mask);
  for (const [x, y] of [[80, 60], [70, 65], [0, 0], [159, 119], [20, 60]]) {
    assert.equal(refined[y * width + x], alpha[y * width + x], `(${x}, ${y})`);
  }
});

Deno.test("refineAlpha › if subject and background look alike, alpha hardly changes", () => {
  const alpha = blurred(drawAlpha(width, height, disc), width, height, mask);
  const noise = new Uint8Array(width * height * 4).map((_, i) => 120 + (i * 7919) % 5);
  assert.ok(meanDifference(refineAlpha({ data: noise, width, height }, alpha, mask), alpha) < 0.1);
});

Deno.test("refineAlpha › an image of one colour changes nothing", () => {
  const alpha = blurred(drawAlpha(width, height, disc), width, height, mask);
  const flat = mix(new Uint8Array(width * height), width, height);
  assert.deepEqual(refineAlpha(flat, alpha, mask), alpha);
});

Deno.test("refineAlpha › a mask of one value does not change", () => {
  const image = mix(drawAlpha(width, height, disc), width, height);
  for (const value of [0, 128, 255]) {
    const alpha = new Uint8Array(width * height).fill(value);
    assert.deepEqual(refineAlpha(image, alpha, mask), alpha);
  }
});

Deno.test("decontaminate › opaque and transparent pixels keep their colours, and all keep their alpha", () => {
  const alpha = drawAlpha(width, height, disc);
  const image = mix(alpha, width, height);
  const before = image.data.slice();
  decontaminate(image, alpha, mask);
  for (let i = 0; i < alpha.length; i++) {
    const from = i * 4 + (alpha[i] === 0 || alpha[i] === 255 ? 0 : 3);
    assert.deepEqual(image.data.slice(from, i * 4 + 4), before.slice(from, i * 4 + 4));
  }
});

Deno.test("decontaminate › removes the background's colour from a half-transparent pixel", () => {
  const alpha = drawAlpha(width, height, (x) => Math.max(0, Math.min(1, (x - 70) / 20)));
  const image = mix(alpha, width, height);
  decontaminate(image, alpha, mask);
  const half = 60 * width + 80;
  assert.equal(alpha[half], 128);
  SUBJECT.forEach((value, c) =>
    assert.ok(Math.abs(image.data[half * 4 + c] - value) <= 12, `${image.data[half * 4 + c]}`)
  );
});

Deno.test("decontaminate › a wrong mask does not give the subject colours that it does not have", () => {
  // The mask is wrong: alpha falls off inside the subject. Unmixing would overshoot.
  const alpha = drawAlpha(width, height, (x) => Math.max(0, Math.min(1, (x - 60) / 20)));
  const image = mix(drawAlpha(width, height, (x) => x < 60 ? 0 : 1), width, height);
  decontaminate(image, alpha, mask);
  for (let x = 64; x < 80; x++) {
    SUBJECT.forEach((value, c) => assert.ok(Math.abs(image.data[(60 * width + x) * 4 + c] - value) <= 3));
  }
});

Deno.test("decontaminate › without a subject or a background, colours do not change", () => {
  for (const value of [0, 255]) {
    const image = mix(drawAlpha(width, height, disc), width, height);
    const before = image.data.slice();
    decontaminate(image, new Uint8Array(width * height).fill(value), mask);
    assert.deepEqual(image.data, before);
  }
});

Deno.test("refine › works for images of any proportions", () => {
  for (const [width, height] of [[1, 1], [1, 5000], [5000, 1], [2, 3], [641, 7], [7, 1281]]) {
    const truth = drawAlpha(
      width,
      height,
      (x, y) => Math.max(0, Math.min(1, ((x + y) / (width + height) - 0.5) * 50 + 0.5)),
    );
    const image = mix(truth, width, height);
    const alpha = blurred(truth, width, height, { width: 320, height: 320 });
    const refined = refineAlpha(image, alpha);
    assert.equal(refined.length, alpha.length);
    // NaN would have become 0.
    assert.ok(meanDifference(refined, truth) <= meanDifference(alpha, truth) + 2, `${width}×${height}`);
    decontaminate(image, refined);
  }
});

Deno.test("refine › an image of 12 megapixels takes seconds, not minutes", () => {
  const [width, height] = [4000, 3000];
  const truth = drawAlpha(width, height, (x, y) => Math.hypot(x - 2000, y - 1500) < 900 ? 1 : 0);
  const image = mix(truth, width, height);
  const started = performance.now();
  const refined = refineAlpha(image, truth);
  decontaminate(image, refined);
  assert.ok(performance.now() - started < 30_000);
});
