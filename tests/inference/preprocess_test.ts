import assert from "node:assert/strict";
import type { Manifest } from "../../src/inference/model/manifest.ts";
import { preprocess } from "../../src/inference/model/preprocess.ts";
import { postprocess } from "../../src/inference/model/postprocess.ts";

const manifest: Manifest = {
  name: "test",
  licence: "MIT",
  source: "https://example.org/",
  digest: `sha256:${"0".repeat(64)}`,
  input: { name: "in", width: 2, height: 1 },
  output: { name: "out" },
  normalisation: { scale: "max", mean: [0.5, 0.25, 0], std: [0.5, 0.25, 2] },
  mask: "min-max",
};

Deno.test("preprocess › puts channels first, divides by the largest value and normalises", () => {
  const data = new Uint8Array([200, 100, 50, 255, 0, 50, 100, 255]);
  const tensor = preprocess({ data, width: 2, height: 1 }, manifest);
  assert.deepEqual([...tensor], [1, -1, 1, 0, 0.125, 0.25]);
});

Deno.test("preprocess › transparent pixels lie on gray, as far as they are transparent", () => {
  const plain: Manifest = { ...manifest, normalisation: { scale: "255", mean: [0, 0, 0], std: [1, 1, 1] } };
  const input = (...colours: number[]) => {
    const data = Uint8Array.of(...colours, 255, 255, 255, 255);
    return [...preprocess({ data, width: 2, height: 1 }, plain)].map((value) => Math.round(value * 255));
  };
  assert.deepEqual(input(200, 100, 50, 0), [128, 255, 128, 255, 128, 255]);
  assert.deepEqual(input(255, 0, 0, 51), [153, 255, 102, 255, 102, 255]);
});

Deno.test("preprocess › an all-black image gives no NaN", () => {
  const tensor = preprocess({ data: Uint8Array.of(0, 0, 0, 255, 0, 0, 0, 255), width: 2, height: 1 }, manifest);
  assert.deepEqual([...tensor], [-1, -1, -1, -1, 0, 0]);
});

Deno.test("postprocess › stretches to the whole range and truncates to 8 bits", () => {
  assert.deepEqual([...postprocess(new Float32Array([0.2, 0.6, 0.2999, 0.4]), manifest)], [0, 255, 63, 127]);
});

Deno.test("postprocess › a flat or broken output has no subject", () => {
  assert.deepEqual([...postprocess(new Float32Array([0.3, 0.3]), manifest)], [0, 0]);
  assert.deepEqual([...postprocess(new Float32Array([NaN, NaN]), manifest)], [0, 0]);
});

Deno.test("postprocess › logits go through the sigmoid first", () => {
  const mask = postprocess(new Float32Array([-50, 0, 50]), { ...manifest, mask: "sigmoid-min-max" });
  assert.deepEqual([...mask], [0, 127, 255]);
});

Deno.test("postprocess › a probability is used as it is", () => {
  const mask = postprocess(new Float32Array([0, 0.5, 1, 1.5]), { ...manifest, mask: "probability" });
  assert.deepEqual([...mask], [0, 127, 255, 255]);
});
