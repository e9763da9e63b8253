import assert from "node:assert/strict";
import { resampleGray } from "../../src/image/resample.ts";
import { resampledColours } from "../support/resampled.ts";

Deno.test("resample › an image of one colour keeps it at any size", () => {
  const rgba = new Uint8Array(7 * 5 * 4).map((_, i) => [200, 100, 3, 255][i % 4]);
  for (const [width, height] of [[1, 1], [3, 2], [7, 5], [31, 64]]) {
    const colours = resampledColours({ data: rgba, width: 7, height: 5 }, width, height);
    assert.equal(colours.length, width * height * 4);
    for (let i = 0; i < colours.length; i += 4) assert.deepEqual([...colours.slice(i, i + 4)], [200, 100, 3, 255]);
  }
});

Deno.test("resample › at the same size the image is unchanged", () => {
  const gray = crypto.getRandomValues(new Uint8Array(13 * 9));
  assert.deepEqual(resampleGray(gray, 13, 9, 13, 9), gray);
});

Deno.test("resample › shrinking averages pixels instead of picking some", () => {
  // A checkerboard of single pixels, shrunk eight times, is an even grey; picking pixels would leave black or white.
  const size = 64;
  const board = new Uint8Array(size * size).map((_, i) => ((i % size) + Math.floor(i / size)) % 2 * 255);
  for (const value of resampleGray(board, size, size, 8, 8)) assert.ok(Math.abs(value - 127.5) <= 2, `${value}`);
});

Deno.test("resample › equals Pillow's LANCZOS to the last bit", () => {
  // numpy.asarray(Image.fromarray(values.reshape(5, 5)).resize((width, height), Image.LANCZOS)), Pillow 13.0.0
  const values = new Uint8Array(25).map((_, i) => ((i * 10) ** 2) % 256 % 251);
  const smaller = [64, 116, 95, 90, 0, 94, 87, 126, 75, 80, 94, 73];
  const larger = [
    0,
    71,
    149,
    162,
    118,
    51,
    136,
    64,
    67,
    80,
    75,
    119,
    167,
    58,
    12,
    0,
    22,
    195,
    13,
    53,
    83,
    22,
    34,
    152,
    194,
    32,
    130,
    214,
    73,
    36,
    188,
    52,
    71,
    195,
    121,
    0,
    43,
    80,
    5,
    69,
    140,
    4,
  ];
  assert.deepEqual([...resampleGray(values, 5, 5, 3, 4)], smaller);
  assert.deepEqual([...resampleGray(values, 5, 5, 6, 7)], larger);
});

Deno.test("resample › a much larger image is reduced first, as by Pillow's LANCZOS with reducing_gap=3.0", () => {
  // numpy.asarray(Image.fromarray(rgb).resize((3, 2), Image.LANCZOS, reducing_gap=3.0)), Pillow 13.0.0
  const expected = [88, 167, 44, 85, 170, 42, 86, 169, 43, 84, 171, 42, 88, 167, 44, 85, 170, 42];
  const [width, height] = [26, 19];
  const rgba = new Uint8Array(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const value = ((i * 10) ** 2) % 256 % 251;
    rgba.set([value, 255 - value, value >> 1, 255], i * 4);
  }
  const colours = resampledColours({ data: rgba, width, height }, 3, 2);
  assert.deepEqual([...colours.filter((_, i) => i % 4 < 3)], expected);
});
