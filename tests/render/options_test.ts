import assert from "node:assert/strict";
import { canonicalRenderOptions, renderOptionsSchema } from "../../src/render/options.ts";

const canonical = (given: Record<string, unknown>) => canonicalRenderOptions(renderOptionsSchema.parse(given));

Deno.test("render options › options with the same result have the same canonical form", () => {
  assert.equal(canonical({}), canonical({ format: "png", crop: false, channels: "rgba", feather: "0" }));
  assert.equal(canonical({}), canonical({ quality: 50, margin: "10%", upscale: true }), "options without an effect");
  assert.equal(canonical({ background: "red" }), canonical({ background: " #FF0000 " }));
  assert.equal(canonical({ background: "f00" }), canonical({ background: "rgb(255, 0, 0)" }));
  assert.equal(canonical({ format: "jpeg" }), canonical({ background: "white", format: "jpeg" }));
  assert.equal(canonical({}), canonical({ roi: "0px 0% 100%, 100%", scale: "original", position: "original" }));
  assert.equal(canonical({ scale: "50%" }), canonical({ position: "center", scale: "50.0%" }));
  assert.equal(canonical({ crop: true, scale: "50%" }), canonical({ crop: true, scale: "50%", position: "0%" }));
  assert.equal(canonical({ crop: true, margin: "10%" }), canonical({ crop: true, margin: "10% 10% 10%" }));
  assert.equal(canonical({ format: "auto", background: "red" }), canonical({ format: "jpeg", background: "red" }));
  assert.equal(canonical({ format: "zip" }), canonical({ format: "zip", channels: "alpha" }));
  assert.equal(canonical({ channels: "alpha" }), canonical({ channels: "alpha", background_image: "0".repeat(64) }));
  const canvas = canonical({ canvas: "413x531" });
  assert.equal(canonical({ canvas: "35x45mm", fill: "85", position: "center" }), canvas);
  assert.equal(canonical({ canvas: "413×531px", crop: true, margin: "9px", scale: "50%" }), canvas, "without effect");
  assert.equal(canonical({ canvas: "2:3" }), canonical({ canvas: "4:6" }));
  assert.equal(canonical({}), canonical({ fill: "50%" }), "without effect");
  assert.equal(canonical({ crop: "yes", size: "100X" }), canonical({ size: "100x", crop: true }));
});

Deno.test("render options › what can be meant in only one way is accepted", () => {
  assert.equal(canonical({ format: "jpeg" }), canonical({ format: "JPG" }));
  assert.equal(canonical({}), canonical({ format: " PNG ", channels: "RGBA" }));
  assert.equal(canonical({ size: "1000x1000" }), canonical({ size: "1000" }));
  assert.equal(canonical({ crop: true, margin: "10px 0px" }), canonical({ crop: true, margin: "10 0" }));
  assert.equal(canonical({ scale: "80%", position: "20% 80%" }), canonical({ scale: "80", position: "20 80" }));
});

Deno.test("render options › canonical forms that stored results depend on have not changed", () => {
  assert.equal(canonical({}), "[]");
  assert.equal(
    canonical({ crop: true, margin: "10%", format: "webp" }),
    '[["crop",true],["format","webp"],["margin",{"part":0.1}],["quality",90]]',
  );
});

Deno.test("render options › options with different results have different canonical forms", () => {
  const forms = [
    {},
    { format: "webp" },
    { format: "webp", quality: 91 },
    { format: "jpeg" },
    { background: "red" },
    { background: "#ff000080" },
    { size: "100x" },
    { size: "x100" },
    { size: "100x", upscale: true },
    { size: "0.25MP" },
    { crop: true },
    { crop: true, margin: "10%" },
    { crop: true, margin: "10px" },
    { crop: true, margin: "10% 10px" },
    { channels: "alpha" },
    { format: "zip" },
    { format: "auto" },
    { format: "auto", background: "#ff000080" },
    { roi: "0% 0% 100% 99%" },
    { scale: "50%" },
    { scale: "50%", position: "original" },
    { position: "50%" },
    { background_image: "0".repeat(64) },
    { canvas: "200x200" },
    { canvas: "200x100" },
    { canvas: "1:1" },
    { canvas: "1:1", size: "100x" },
    { canvas: "200x200", fill: "90%" },
    { canvas: "200x200", position: "50% 100%" },
    { solid: true },
    { threshold: 128 },
    { feather: 1.5 },
    { refine: true },
    { matting: "hair" },
    { shadow: true },
    { shadow: true, shadow_opacity: 70 },
  ].map(canonical);
  assert.equal(new Set(forms).size, forms.length);
});

Deno.test("render options › an invalid value is named, with an example of a valid one", () => {
  const wrong: [string, unknown, RegExp][] = [
    ["format", "gif", /png/],
    ["quality", 0, />=1/],
    ["background", "reddish", /"reddish" is not a CSS colour, such as "white"/],
    ["size", "big", /"big" is not a size, such as "800x600"/],
    ["size", "0x5", /not a size/],
    ["size", "99999x", /1 to 16384/],
    ["margin", "5em", /not a margin, such as "20px"/],
    ["margin", "1px 2px 3px 4px 5px", /CSS order/],
    ["roi", "1px 2px 3px", /not a region, "x1 y1 x2 y2"/],
    ["roi", "0% 0% 101% 100%", /not a region/],
    ["scale", "5%", /from "10%" to "100%"/],
    ["position", "left", /not a position/],
    ["position", "101%", /not a position/],
    ["background_image", "cat.jpg", /not a SHA-256 digest/],
    ["canvas", "square", /"2000x2000" .*"4:5" or "35x45mm"/],
    ["canvas", "0x5", /not a canvas/],
    ["canvas", "1:0", /not a canvas/],
    ["canvas", "1:1000", /not a canvas/],
    ["canvas", "20000x5", /1 to 16384/],
    ["fill", "0%", /not a share from "1%" to "100%"/],
    ["crop", "perhaps", /./],
    ["threshold", 0, />=1/],
    ["feather", -1, />=0/],
    ["matting", "fur", /hair/],
    ["shadow_opacity", 101, /<=100/],
    ["refin", true, /[Uu]nrecognized/],
  ];
  for (const [name, value, message] of wrong) {
    const { error } = renderOptionsSchema.safeParse({ crop: true, [name]: value });
    assert.ok(error, `${name}=${value} was accepted`);
    assert.match(error.issues[0].message, message);
  }
});

Deno.test("render options › refine and matting=refine are one option, under the key of the older", () => {
  assert.equal(canonical({ refine: true }), '[["refine",true]]');
  assert.equal(canonical({ matting: "refine" }), '[["refine",true]]');
  assert.equal(canonical({ matting: "none", refine: true }), '[["refine",true]]');
  assert.equal(canonical({ matting: "hair", refine: true }), '[["matting","hair"]]');
  assert.equal(canonical({ matting: "none" }), "[]");
});

Deno.test("render options › what a shadow has no effect on does not change the key", () => {
  assert.equal(canonical({ shadow_opacity: 80 }), "[]");
  assert.equal(canonical({ shadow: true, shadow_opacity: 50 }), canonical({ shadow: true }));
  assert.equal(canonical({ shadow: true, channels: "alpha" }), canonical({ channels: "alpha" }));
});

Deno.test("render options › a canvas in pixels and a size contradict each other; proportions and a size do not", () => {
  const { error } = renderOptionsSchema.safeParse({ canvas: "200x200", size: "100x" });
  assert.deepEqual(error?.issues[0].path, ["size"]);
  assert.ok(renderOptionsSchema.safeParse({ canvas: "1:1", size: "100x" }).success);
});
