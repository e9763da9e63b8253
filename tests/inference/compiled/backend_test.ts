import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { kernelModule } from "../../../src/inference/compiled/kernel_module.ts";
import { Network } from "../../../src/inference/compiled/network.ts";
import { withPlan } from "../../../src/inference/model/plan_file.ts";
import { decode } from "../../../src/image/decode.ts";
import { loadModel, type Model } from "../../../src/inference/model/manifest.ts";
import { defaultRenderOptions } from "../../../src/render/options.ts";
import { compiledModel, withEngine } from "../../support/engine.ts";
import { fixture } from "../../support/images.ts";

const STATIC = new URL("../../../static/", import.meta.url);
const PICTURES = new URL("../../../bench/pictures/", import.meta.url);
const LIMITS = { maxPixels: 25_000_000 };

/** Photographs of the tests and of the benches, by name. */
function pictures(): Map<string, Uint8Array<ArrayBuffer>> {
  const names = ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg"];
  const more = readdirSync(PICTURES).filter((name) => name.endsWith(".jpg"));
  return new Map([
    ...names.map((name) => [name, fixture(name)] as const),
    ...more.map((name) => [name, Deno.readFileSync(new URL(name, PICTURES))] as const),
  ]);
}

/** Alpha by a model on a backend, of each picture. */
async function alphas(model: Model, backend: "wasm" | "compiled"): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  await withEngine(async (engine) => {
    assert.equal(engine.status().backend, backend);
    for (const [name, image] of pictures()) {
      const { file } = await engine.cutout({ image, render: { ...defaultRenderOptions, channels: "alpha" } });
      const { data } = await decode(file, LIMITS);
      found.set(name, data.filter((_, i) => i % 4 === 0));
    }
  }, { models: [model], backend });
  return found;
}

for (const path of ["model", "models/u2netp-fast"]) {
  Deno.test(`compiled backend › ${path}: alpha is onnxruntime-web's to 1/255 on every picture`, async () => {
    const model = await compiledModel(path);
    const expected = await alphas(model, "wasm");
    for (const [name, alpha] of await alphas(model, "compiled")) {
      const reference = expected.get(name)!;
      const most = alpha.reduce((most, value, i) => Math.max(most, Math.abs(value - reference[i])), 0);
      assert.ok(most <= 1, `${name}: ${most} of 255`);
    }
  });
}

Deno.test("compiled backend › a model without a plan runs on onnxruntime-web beside it, when it is first named", async () => {
  const path = new URL("models/u2netp-rank32", STATIC);
  const other = await loadModel(`${path.pathname}.onnx`, `${path.pathname}.json`);
  const compiled = await compiledModel("models/u2netp-fast");
  await withEngine(async (engine) => {
    const image = fixture("chelsea.jpg");
    await engine.cutout({ image, render: defaultRenderOptions });
    await engine.cutout({ image, render: defaultRenderOptions, model: "u2netp-rank32" });
    await engine.cutout({ image, render: defaultRenderOptions });
    const { backend, inferences, workerRestarts, health } = engine.status();
    assert.deepEqual({ backend, inferences, workerRestarts, health }, {
      backend: "compiled",
      inferences: 3,
      workerRestarts: 0,
      health: "ok",
    });
  }, { models: [compiled], modelsOnDemand: [other], backend: "compiled" });
});

Deno.test("compiled backend › models of the start without a plan are ready and warm as well", async () => {
  const other = await loadModel(
    new URL("models/u2netp-rank32.onnx", STATIC),
    new URL("models/u2netp-rank32.json", STATIC),
  );
  await withEngine(async (engine) => {
    await engine.warmUp();
    assert.equal(engine.warm, true);
  }, { models: [await compiledModel("models/u2netp-fast"), other], backend: "compiled" });
});

Deno.test("compiled backend › without a plan, `compiled` does not start and `auto` says why it uses another", async () => {
  const { plan: _, ...model } = await compiledModel("models/u2netp-fast");
  await assert.rejects(
    withEngine(() => Promise.resolve(), { models: [model], backend: "compiled" }),
    /no plan for u2netp-fast/,
  );
});

Deno.test("compiled backend › on the main thread it runs with one thread", async () => {
  await withEngine(async (engine) => {
    await engine.cutout({ image: fixture("chelsea.jpg"), render: defaultRenderOptions });
    assert.deepEqual([engine.status().threads, engine.status().mode], [1, "inline"]);
  }, { models: [await compiledModel("models/u2netp-fast")], backend: "compiled", mode: "inline", threads: 4 });
});

Deno.test("compiled backend › a plan of another file is refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { plan, ...model } = await compiledModel("model");
    const write = (content: unknown) => Deno.writeTextFile(`${folder}/net.plan.json`, JSON.stringify(content));
    assert.equal((await withPlan(model, `${folder}/net.onnx`)).plan, undefined);
    await write({ ...plan, model: "0".repeat(64) });
    await assert.rejects(withPlan(model, `${folder}/net.onnx`), /is the plan of a file with the SHA-256 0{64}/);
    await write({ ...plan, steps: [{ op: "softmax" }] });
    await assert.rejects(withPlan(model, `${folder}/net.onnx`), /is not a plan/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("compiled backend › any number of threads gives the same bits", async () => {
  const model = await compiledModel("models/u2netp-fast");
  const module = await kernelModule();
  const input = Float32Array.from({ length: 3 * 320 * 320 }, (_, i) => Math.sin(i / 50));
  const outputs = [1, 2, 5].map((threads) => {
    const network = new Network(module, model.plan!, model.bytes, threads);
    network.prepare(() => {});
    return network.infer(input, () => {});
  });
  assert.deepEqual(outputs[1], outputs[0]);
  assert.deepEqual(outputs[2], outputs[0]);
});
