import assert from "node:assert/strict";
import { didYouMean, nearest } from "../../src/base/nearest.ts";

Deno.test("nearest › finds the word that was meant, and nothing else", () => {
  const known = ["background", "background_image", "crop", "size", "CACHE_STORE"];
  for (
    const [word, meant] of [
      ["backgrond", "background"],
      ["Background", "background"],
      ["backgroundImage", "background_image"],
      ["sise", "size"],
      ["CACHE_STOER", "CACHE_STORE"],
      ["sharpen", undefined],
      ["cat", undefined],
    ] as const
  ) assert.equal(nearest(word, known), meant, word);
  assert.equal(didYouMean("cropp", known), ", did you mean `crop`?");
  assert.equal(didYouMean("sharpen", known), "");
});
