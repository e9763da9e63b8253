import assert from "node:assert/strict";
import { splitList } from "../../src/base/comma_list.ts";

Deno.test("comma list › items are trimmed, and empty ones ignored", () => {
  assert.deepEqual(splitList("a, b ,c"), ["a", "b", "c"]);
  assert.deepEqual(splitList(", a,,\t b ,"), ["a", "b"]);
  assert.deepEqual(splitList("a b"), ["a b"]);
  for (const empty of ["", " ", ",", " , "]) assert.deepEqual(splitList(empty), []);
});
