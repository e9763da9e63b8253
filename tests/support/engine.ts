import { getLogger } from "@logtape/logtape";
import { Engine, type EngineOptions } from "../../src/inference/engine/engine.ts";
import { withPlan } from "../../src/inference/model/plan_file.ts";
import { loadModel, type Model } from "../../src/inference/model/manifest.ts";

/** The backend of engines and servers in tests that do not choose one: `TEST_BACKEND`, or else the default. */
export const testBackend = Deno.env.get("TEST_BACKEND") === "compiled" ? "compiled" : "wasm";

/** The address of a session worker in this folder, for that backend. */
export function sessionWorkerUrl(name: string): string {
  return `${import.meta.resolve(`./${name}`)}?${testBackend}`;
}

const file = (name: string) => new URL(`../../static/${name}`, import.meta.url);

/** The model that ships with Cutcache. */
export function defaultModel(): Promise<Model> {
  return compiledModel("model");
}

/** The quickest model that ships, for tests of everything around the model. */
export function quickModel(): Promise<Model> {
  return compiledModel("models/u2netp-fast");
}

/** A model with its plan, by its path in `static/`, without `.onnx`. */
export async function compiledModel(path: string): Promise<Model> {
  return await withPlan(await loadModel(file(`${path}.onnx`), file(`${path}.json`)), file(`${path}.onnx`));
}

/** Runs `use` with the real engine and a real model, by default the quickest, and closes the engine. */
export async function withEngine(
  use: (engine: Engine) => Promise<void>,
  options: Partial<EngineOptions> = {},
): Promise<void> {
  const engine = new Engine({
    models: [await quickModel()],
    threads: navigator.hardwareConcurrency,
    workers: 1,
    limits: { maxPixels: 25_000_000 },
    timeoutMs: 60_000,
    queueLimit: 100,
    backend: testBackend,
    logger: getLogger("test"),
    ...options,
  });
  try {
    await engine.ready();
    await use(engine);
  } finally {
    engine.close();
  }
}
