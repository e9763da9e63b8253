import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import type { Model } from "../../src/inference/model/manifest.ts";
import { defaultRenderOptions } from "../../src/render/options.ts";
import { defaultModel, withEngine } from "../support/engine.ts";
import { fixture, PHOTOGRAPHS } from "../support/images.ts";
import { compareMasks } from "../support/masks.ts";

Deno.test("fidelity › alpha is rembg's mask on every photograph", async (t) => {
  const models: [Model] = [await defaultModel()];
  await withEngine(async (engine) => {
    for (const name of PHOTOGRAPHS) {
      await t.step(name, async () => {
        const limits = { maxPixels: 25_000_000 };
        const image = fixture(`${name}.jpg`);
        const { file } = await engine.cutout({ image, render: defaultRenderOptions });
        const [input, cutout, reference] = await Promise.all([
          decode(image, limits),
          decode(file, limits),
          decode(fixture(`${name}.rembg-u2netp.mask.png`), limits),
        ]);
        assert.deepEqual([cutout.width, cutout.height], [input.width, input.height]);
        const alpha = cutout.data.filter((_, i) => i % 4 === 3);
        const expected = reference.data.filter((_, i) => i % 4 === 0);
        const { meanDifference, intersectionOverUnion } = compareMasks(alpha, expected);
        assert.ok(meanDifference <= 0.005, `mean difference ${meanDifference}`);
        const bound = name === "rocket" ? 0.95 : 0.98;
        assert.ok(intersectionOverUnion >= bound, `IoU ${intersectionOverUnion}`);
        // Colours are the photograph's own wherever anything can be seen of them.
        for (let at = 0; at < input.data.length; at += 4) {
          if (cutout.data[at + 3] === 0) continue;
          for (let i = at; i < at + 3; i++) {
            if (cutout.data[i] !== input.data[i]) assert.fail(`pixel ${at / 4} has another colour`);
          }
        }
      });
    }
  }, { models });
});
