import assert from "node:assert/strict";
import { drawScenes } from "../../bench/quality/scenes.ts";
import { alphaErrors } from "../../bench/quality/scores.ts";
import { cutout } from "../../bench/quality/ways.ts";
import { TestServer } from "../support/server.ts";

/** How much worse alpha may become: a tenth, or an error that nobody sees (MSE in ten-thousandths). */
const MAX_RATIO = 1.1;
const INVISIBLE = 0.5;

Deno.test("quality › matting=hair makes no scene worse, and needs no further inference", async () => {
  await using server = await TestServer.start({}, { checked: false });
  const scenes = await drawScenes();
  for (const scene of scenes) {
    const [none, hair] = [await cutout(server, scene, "none"), await cutout(server, scene, "hair")]
      .map((pixels) => alphaErrors(pixels.filter((_, i) => i % 4 === 3), scene.alpha));
    assert.ok(hair.mse <= none.mse * MAX_RATIO + INVISIBLE, `${scene.name}: ${hair.mse}, not ${none.mse}`);
  }
  assert.equal(await server.inferences(), scenes.length);
});
