import assert from "node:assert/strict";
import { compileKernels } from "../../tools/kernels.ts";

Deno.test("kernels › the binary is what its source compiles to", async () => {
  const shipped = await Deno.readFile(new URL("../../src/image/kernels.wasm", import.meta.url));
  assert.deepEqual(await compileKernels(), shipped);
});
