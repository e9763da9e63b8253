import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { fixture } from "../support/images.ts";
import expected from "../fixtures/unusual/expected.json" with { type: "json" };

const limits = { maxPixels: 1_000_000 };

for (const [name, { width, height, tolerance, pixels }] of Object.entries(expected)) {
  Deno.test(`unusual files › ${name} has its size, its colours in sRGB, and its alpha`, async () => {
    const image = await decode(fixture(`unusual/${name}`), limits);
    assert.deepEqual([image.width, image.height, image.data.length], [width, height, width * height * 4]);
    for (const [x, y, red, green, blue, alpha] of pixels) {
      const at = (y * width + x) * 4;
      const pixel = [...image.data.subarray(at, at + 4)];
      assert.equal(pixel[3], alpha, `(${x}, ${y}): ${pixel}`);
      if (alpha === 0) continue;
      [red, green, blue].forEach((value, i) =>
        assert.ok(Math.abs(pixel[i] - value) <= tolerance, `(${x}, ${y}): ${pixel}, not ${[red, green, blue]}`)
      );
    }
  });
}

Deno.test("unusual files › every fixture is tested", () => {
  const folder = [...Deno.readDirSync(new URL("../fixtures/unusual/", import.meta.url))].map(({ name }) => name);
  const files = folder.filter((name) => !["make.py", "expected.json"].includes(name));
  assert.deepEqual(files.sort(), Object.keys(expected).sort());
});
