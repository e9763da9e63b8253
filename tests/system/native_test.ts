import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { fixture, PHOTOGRAPHS } from "../support/images.ts";
import { compareMasks } from "../support/masks.ts";
import { TestServer } from "../support/server.ts";

/** The largest mean difference of two masks, of 1.0. */
const MAX_DIFFERENCE = 0.002;

Deno.test("native › masks are the same as with WASM", async (t) => {
  const command = [Deno.execPath(), "task", "--quiet", "start:native"];
  await using native = await TestServer.start({ CACHE_STORE: "memory" }, { command });
  await using wasm = await TestServer.start({ CACHE_STORE: "memory" });
  assert.equal((await native.health()).engine.backend, "native");
  assert.equal((await wasm.health()).engine.backend, "wasm");
  assert.equal(
    (await native.health()).engine.sandboxed,
    true,
    "the worker that decodes images has no permissions here either",
  );
  const alphaFrom = async (server: TestServer, body: Uint8Array<ArrayBuffer>) => {
    const response = await server.fetch("/cutouts?channels=alpha&format=png", { method: "POST", body });
    const file = await response.bytes();
    assert.equal(response.status, 200);
    const { data } = await decode(file, { maxPixels: 1e6 });
    return data.filter((_, i) => i % 4 === 0);
  };
  for (const name of PHOTOGRAPHS) {
    await t.step(name, async () => {
      const image = fixture(`${name}.jpg`);
      const { meanDifference } = compareMasks(await alphaFrom(native, image), await alphaFrom(wasm, image));
      assert.ok(meanDifference <= MAX_DIFFERENCE, `${meanDifference}`);
    });
  }
  assert.equal(await native.inferences(), PHOTOGRAPHS.length);
});

Deno.test("native › without the permissions for it, `auto` warns and tries the next, and `native` does not start", async () => {
  await using server = await TestServer.start({ INFERENCE_BACKEND: "auto" });
  await server.logged(({ level, message }) =>
    level === "warning" && /native backend cannot be loaded, trying compiled/.test(message)
  );
  assert.equal((await server.health()).engine.backend, "compiled");
  await server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
  await assert.rejects(
    TestServer.start({ INFERENCE_BACKEND: "native" }),
    /native backend cannot be loaded.*--allow-ffi.*start:native/,
  );
});
