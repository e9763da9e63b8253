import { getLogger } from "@logtape/logtape";
import { readConfig } from "./config.ts";
import { Engine } from "./inference/engine/engine.ts";
import { loadModels } from "./inference/model/catalogue.ts";
import { ortModule } from "./inference/ort/ort_module.ts";
import { memoryForPicture, tuneMemory } from "./memory_tuning.ts";
import { configureLogging } from "./base/log.ts";
import { startErrorMessage } from "./start_error.ts";
import { metricsExport } from "./telemetry/otlp_metrics.ts";
import { Telemetry } from "./telemetry/telemetry.ts";
import { activeSpanIds } from "./telemetry/trace.ts";
import { USAGE } from "./usage.ts";

const STATIC = new URL("../static/", import.meta.url);

async function main(): Promise<void> {
  const config = readConfig((name) => Deno.env.get(name));
  const format = config.LOG_FORMAT === "auto" ? (Deno.stdout.isTerminal() ? "text" : "json") : config.LOG_FORMAT;
  await configureLogging({ format, level: config.LOG_LEVEL, spanIds: activeSpanIds });
  const logger = getLogger("cutcache");

  const lean = tuneMemory();
  // There is a core free for it until the workers start.
  if (config.INFERENCE_BACKEND === "wasm") ortModule();
  const { models, onDemand } = await loadModels({
    model: config.MODEL,
    modelPath: config.MODEL_PATH,
    manifestPath: config.MODEL_MANIFEST,
    more: config.MODELS,
    plans: config.INFERENCE_BACKEND === "compiled" || config.INFERENCE_BACKEND === "auto",
  }, STATIC);
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
    metricsExport: metricsExport((name) => Deno.env.get(name)),
    pageFolder: new URL("page/", STATIC),
    logger,
  });
}

if (Deno.args.some((argument) => argument === "--help" || argument === "-h")) {
  console.log(USAGE);
  Deno.exit(0);
}
try {
  await main();
} catch (error) {
  const address = { host: Deno.env.get("HOST") || "0.0.0.0", port: Deno.env.get("PORT") || "8000" };
  console.error(`Cutcache cannot start: ${startErrorMessage(error, address)}`);
  Deno.exit(1);
}
