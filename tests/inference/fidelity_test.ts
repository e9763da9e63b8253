import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { defaultRenderOptions } from "../../src/render/options.ts";
import { defaultModel, withEngine } from "../support/engine.ts";
import { fixture, PHOTOGRAPHS } from "../support/images.ts";
import { compareMasks } from "../support/masks.ts";

/*
 * How far alpha may be from rembg's mask: about twice as far as it is. With one, two and three threads the mean difference
 * is at most 1.9e-6 of 1.0, the worst pixel is one 8-bit step off, and IoU is 1.
 */
const MAX_MEAN_DIFFERENCE = 4e-6;
const MAX_WORST_PIXEL = 2 / 255;
/** One pixel in ten thousand may fall on the other side of the threshold. */
const MIN_IOU = 0.9999;

Deno.test("fidelity › alpha is rembg's mask, and visible pixels keep their colours", async (t) => {
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
        const { meanDifference, worstDifference, intersectionOverUnion } = compareMasks(alpha, expected);
        assert.ok(meanDifference <= MAX_MEAN_DIFFERENCE, `mean difference ${meanDifference}`);
        assert.ok(worstDifference <= MAX_WORST_PIXEL, `worst pixel ${worstDifference}`);
        assert.ok(intersectionOverUnion >= MIN_IOU, `IoU ${intersectionOverUnion}`);
        for (let at = 0; at < input.data.length; at += 4) {
          if (cutout.data[at + 3] === 0) continue;
          for (let i = at; i < at + 3; i++) {
            if (cutout.data[i] !== input.data[i]) assert.fail(`pixel ${at / 4} has another colour`);
          }
        }
      });
    }
  }, { models: [await defaultModel()] });
});
