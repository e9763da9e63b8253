import assert from "node:assert/strict";
import { fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

Deno.test("compiled › a server says that it runs, and models without a plan run beside it", async () => {
  await using server = await TestServer.start({ INFERENCE_BACKEND: "compiled", CACHE_STORE: "memory" });
  await server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
  const metadata = await (await server.fetch("/metadata")).json();
  assert.deepEqual([metadata.backend, metadata.backend_reason], ["compiled", "chosen by INFERENCE_BACKEND"]);
  await server.logged(({ message }) => /^Models run on the compiled backend with \d+ threads/.test(message));
  const response = await server.fetch("/cutouts?model=u2netp-rank32", {
    method: "POST",
    body: fixture("chelsea.jpg"),
  });
  await response.body?.cancel();
  assert.equal(response.status, 200);
  const { engine } = await server.health();
  assert.deepEqual([engine.backend, engine.health, engine.inferences], ["compiled", "ok", 2]);
});

Deno.test("compiled › a default model without a plan is an error at the start, with the way to one", async () => {
  await assert.rejects(
    TestServer.start({ INFERENCE_BACKEND: "compiled", MODEL: "u2netp-rank32" }),
    /compiled backend cannot be loaded: there is no plan for u2netp-rank32; `deno task model:compile` makes one/,
  );
});

Deno.test("compiled › `auto` uses it for want of the native build, and WASM for a model without a plan", async () => {
  {
    await using server = await TestServer.quick({ INFERENCE_BACKEND: "auto" });
    const { engine } = await server.health();
    assert.equal(engine.backend, "compiled");
    assert.match(engine.backend_reason, /^the fastest that loads; native: it needs .*--allow-ffi/);
    await server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
  }
  await using server = await TestServer.start({ INFERENCE_BACKEND: "auto", MODEL: "u2netp-rank32" });
  const { engine } = await server.health();
  assert.equal(engine.backend, "wasm");
  assert.match(engine.backend_reason, /compiled: there is no plan for u2netp-rank32/);
});
