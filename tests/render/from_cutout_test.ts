import assert from "node:assert/strict";
import { splitOptions } from "../../src/render/from_cutout.ts";
import { canonicalRenderOptions, defaultRenderOptions, renderOptionsSchema } from "../../src/render/options.ts";

/** The cutout to start from and the rest of the work, as keys of cached results have them. */
function split(options: Record<string, unknown>): [from: string, rest: string] | undefined {
  const steps = splitOptions(renderOptionsSchema.parse(options));
  return steps && [canonicalRenderOptions(steps.from), canonicalRenderOptions(steps.rest)];
}

Deno.test("from a cutout › a shadow needs no more than the plain cutout", () => {
  assert.deepEqual(split({ shadow: true }), ["[]", '[["shadow",true]]']);
  assert.deepEqual(split({ shadow: true, shadow_opacity: 80, size: "800x" }), [
    "[]",
    '[["shadow",true],["shadow_opacity",80],["size",{"width":800}]]',
  ]);
});

Deno.test("from a cutout › matting needs the image, so what follows it starts from a matted cutout", () => {
  for (
    const [options, from] of [
      [{ matting: "hair" }, '[["matting","hair"]]'],
      [{ matting: "refine" }, '[["refine",true]]'],
      [{ refine: true }, '[["refine",true]]'],
      [{ matting: "none" }, "[]"],
    ] as const
  ) {
    assert.deepEqual(split({ ...options, shadow: true }), [from, '[["shadow",true]]']);
  }
});

Deno.test("from a cutout › a background picture and rembg's matting need the image", () => {
  assert.equal(split({ background_image: "0".repeat(64) }), undefined);
  for (const rembg of [{}, { trimap: { foreground: 240, background: 10, erosion: 10 } }]) {
    assert.equal(splitOptions({ ...defaultRenderOptions, rembg }), undefined);
  }
});
