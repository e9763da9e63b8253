import assert from "node:assert/strict";
import type { Manifest } from "../../src/inference/manifest.ts";
import { cutOut, postprocess, preprocess } from "../../src/inference/steps.ts";

const manifest: Manifest = {
  name: "test",
  licence: "MIT",
  source: "https://example.org/",
  sha256: "0".repeat(64),
  input: { name: "in", width: 2, height: 1 },
  output: { name: "out" },
  normalisation: { scale: "max", mean: [0.5, 0.25, 0], std: [0.5, 0.25, 2] },
  mask: "min-max",
};

Deno.test("preprocess › puts channels first, divides by the largest value and normalises", () => {
  const data = new Uint8Array([200, 100, 50, 255, 0, 50, 100, 7]);
  const tensor = preprocess({ data, width: 2, height: 1 }, manifest);
  assert.deepEqual([...tensor], [1, -1, 1, 0, 0.125, 0.25]);
});

Deno.test("preprocess › an all-black image makes no NaN", () => {
  const tensor = preprocess({ data: new Uint8Array(8), width: 2, height: 1 }, manifest);
  assert.deepEqual([...tensor], [-1, -1, -1, -1, 0, 0]);
});

Deno.test("postprocess › stretches to the whole range and cuts to 8 bits", () => {
  assert.deepEqual([...postprocess(new Float32Array([0.2, 0.6, 0.2999, 0.4]), manifest)], [0, 255, 63, 127]);
});

Deno.test("postprocess › a flat or broken output has no subject", () => {
  assert.deepEqual([...postprocess(new Float32Array([0.3, 0.3]), manifest)], [0, 0]);
  assert.deepEqual([...postprocess(new Float32Array([NaN, NaN]), manifest)], [0, 0]);
});

Deno.test("postprocess › a probability is taken as it is", () => {
  const mask = postprocess(new Float32Array([0, 0.5, 1, 1.5]), { ...manifest, mask: "probability" });
  assert.deepEqual([...mask], [0, 127, 255, 255]);
});

Deno.test("cutOut › colours are not multiplied by alpha", () => {
  const data = new Uint8Array(4 * 4).map((_, i) => [200, 100, 50, 255][i % 4]);
  cutOut({ data, width: 4, height: 1 }, { data: new Uint8Array([255, 128, 1, 0]), width: 4, height: 1 });
  assert.deepEqual([...data], [200, 100, 50, 255, 200, 100, 50, 128, 200, 100, 50, 1, 200, 100, 50, 0]);
});

Deno.test("cutOut › the image's own transparency is kept", () => {
  const data = new Uint8Array([9, 9, 9, 128, 9, 9, 9, 255]);
  cutOut({ data, width: 2, height: 1 }, { data: new Uint8Array([255, 100]), width: 2, height: 1 });
  assert.deepEqual([data[3], data[7]], [128, 100]);
});

Deno.test("cutOut › removed background is gone, but for the pixels beside the subject", () => {
  const size = 5;
  const data = new Uint8Array(size * size * 4).fill(255);
  const mask = new Uint8Array(size * size);
  mask[6] = 255; // (1, 1)
  cutOut({ data, width: size, height: size }, { data: mask, width: size, height: size });
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const beside = Math.abs(x - 1) <= 1 && Math.abs(y - 1) <= 1;
      const colour = beside ? 255 : 0;
      const alpha = x === 1 && y === 1 ? 255 : 0;
      const at = (y * size + x) * 4;
      assert.deepEqual([...data.slice(at, at + 4)], [colour, colour, colour, alpha], `(${x}, ${y})`);
    }
  }
});
