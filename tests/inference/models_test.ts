import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { loadModel, type Model } from "../../src/inference/model/manifest.ts";
import { defaultRenderOptions } from "../../src/render/options.ts";
import { defaultModel, withEngine } from "../support/engine.ts";
import { fixture, PHOTOGRAPHS } from "../support/images.ts";
import { compareMasks } from "../support/masks.ts";

const STATIC = new URL("../../static/", import.meta.url);

/** @throws {Error} if the file does not have the manifest's digest. */
function variant(name: string): Promise<Model> {
  return loadModel(new URL(`models/${name}.onnx`, STATIC), new URL(`models/${name}.json`, STATIC));
}

/** The alpha that a model gives each photograph. */
async function alphasBy(model: Model): Promise<Uint8Array[]> {
  const alphas: Uint8Array[] = [];
  await withEngine(async (engine) => {
    for (const photograph of PHOTOGRAPHS) {
      const image = fixture(`${photograph}.jpg`);
      const { file } = await engine.cutout({ image, render: { ...defaultRenderOptions, channels: "alpha" } });
      const { data } = await decode(file, { maxPixels: 25_000_000 });
      alphas.push(data.filter((_, i) => i % 4 === 0));
    }
  }, { models: [model] });
  return alphas;
}

/** Alphas of the default model, which every variant is compared with. Made once. */
let referenceAlphas: Promise<Uint8Array[]> | undefined;

/** How far alpha may be from the default model's, of 1.0: a little more than the README's figures. */
const VARIANTS = [
  { name: "u2netp-fast", worst: 0.027, mean: 0.01, minIou: 0.9 },
  { name: "u2netp-rank32", worst: 0.02, mean: 0.006, minIou: 0.85 },
  { name: "u2netp-int8", worst: 0.02, mean: 0.006, minIou: 0.85 },
];

for (const { name, worst, mean, minIou } of VARIANTS) {
  Deno.test(`${name} › is made from the same export as the default model, and has its own version`, async () => {
    const [model, reference] = await Promise.all([variant(name), defaultModel()]);
    assert.deepEqual(model.manifest.export, reference.manifest.export);
    assert.deepEqual(model.manifest.input, reference.manifest.input);
    assert.notEqual(model.version, reference.version);
    assert.ok(model.bytes.length < reference.bytes.length);
  });

  Deno.test(`${name} › alpha is close to the default model's, but not the same`, async (t) => {
    const references = await (referenceAlphas ??= defaultModel().then(alphasBy));
    const alphas = await alphasBy(await variant(name));
    const differences: number[] = [];
    for (const [i, photograph] of PHOTOGRAPHS.entries()) {
      await t.step(photograph, () => {
        const { meanDifference, intersectionOverUnion } = compareMasks(alphas[i], references[i]);
        differences.push(meanDifference);
        assert.ok(meanDifference > 0, "the two models gave the same alpha");
        assert.ok(meanDifference <= worst, `mean difference ${meanDifference}`);
        assert.ok(intersectionOverUnion >= minIou, `IoU ${intersectionOverUnion}`);
      });
    }
    const overall = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
    assert.ok(overall <= mean, `mean difference over all photographs ${overall}: ${differences}`);
  });
}
