import { getLogger } from "@logtape/logtape";
import { type Config, readConfig } from "./config.ts";
import { Engine } from "./inference/engine/engine.ts";
import { loadModel, type Model } from "./inference/model/manifest.ts";
import { ortModule } from "./inference/ort/ort_module.ts";
import { memoryForPicture, tuneMemory } from "./memory_tuning.ts";
import { configureLogging } from "./base/log.ts";
import { Telemetry } from "./telemetry/telemetry.ts";
import { activeSpanIds } from "./telemetry/trace.ts";

const STATIC = new URL("../static/", import.meta.url);

/** The models that every server has, with where they lie below `static/`, without `.onnx`. */
const SHIPPED_MODELS = new Map([
  ["u2netp", "model"],
  ["u2netp-fast", "models/u2netp-fast"],
  ["u2netp-rank32", "models/u2netp-rank32"],
]);

async function main(): Promise<void> {
  const config = readConfig((name) => Deno.env.get(name));
  const format = config.LOG_FORMAT === "auto" ? (Deno.stdout.isTerminal() ? "text" : "json") : config.LOG_FORMAT;
  await configureLogging({ format, level: config.LOG_LEVEL, spanIds: activeSpanIds });
  const logger = getLogger("cutcache");

  const lean = tuneMemory();
  // There is a core free for it until the workers start.
  if (config.INFERENCE_BACKEND === "wasm") ortModule();
  const { models, onDemand } = await loadModels(config);
  const telemetry = new Telemetry();
  const engine = new Engine({
    models,
    modelsOnDemand: onDemand,
    mode: config.INFERENCE_MODE,
    backend: config.INFERENCE_BACKEND,
    threads: config.INFERENCE_THREADS ?? navigator.hardwareConcurrency,
    workers: config.INFERENCE_WORKERS,
    limits: { maxPixels: config.MAX_PIXELS, memory: memoryForPicture() },
    timeoutMs: config.INFERENCE_TIMEOUT_MS,
    queueLimit: config.QUEUE_LIMIT,
    logger,
    observer: telemetry,
  });
  lean.trimWhile(() => engine.status().running > 0);
  // Loaded while the workers start.
  const { serve } = await import("./serve.ts");
  await serve({
    config,
    models: [...models, ...onDemand],
    engine,
    telemetry,
    pageFolder: new URL("page/", STATIC),
    logger,
  });
}

/**
 * The models to load at the start, the default one first, and those that ship besides, for when a request names them.
 * @throws {Error} where a file is missing, or is not what its manifest says.
 */
async function loadModels(
  { MODEL, MODEL_PATH, MODEL_MANIFEST, MODELS }: Config,
): Promise<{ models: [Model, ...Model[]]; onDemand: Model[] }> {
  const byName = (name: string) => {
    const path = SHIPPED_MODELS.get(name) ?? `models/${name}`;
    return loadModel(new URL(`${path}.onnx`, STATIC), new URL(`${path}.json`, STATIC));
  };
  const first = await (MODEL_PATH && MODEL_MANIFEST ? loadModel(MODEL_PATH, MODEL_MANIFEST) : byName(MODEL));
  const taken = new Set([first.manifest.name, ...MODELS]);
  const others = [...taken].slice(1);
  const unnamed = [...SHIPPED_MODELS.keys()].filter((name) => !taken.has(name));
  const [loaded, onDemand] = await Promise.all([others, unnamed].map((names) => Promise.all(names.map(byName))));
  return { models: [first, ...loaded], onDemand };
}

try {
  await main();
} catch (error) {
  console.error(`Cutcache cannot start: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
