/**
 * Compiles models of the U²-Net family for the compiled backend (`INFERENCE_BACKEND=compiled`): reads a model file and its
 * manifest and writes a plan beside the file. The same file gives the same plan, byte for byte.
 *
 * @example deno run --allow-read --allow-write tools/compile_model.ts static/model.onnx static/model.json
 */
import { loadModel } from "../src/inference/model/manifest.ts";
import { compileModel } from "./compile_model/compile.ts";

const USAGE = `Usage: deno task model:compile MODEL.onnx MANIFEST.json

Writes MODEL.plan.json beside the model.`;

/** A plan as it lies on disk: one tensor or step a line, so that a change of a model can be read as a difference. */
export function planText(plan: Awaited<ReturnType<typeof compileModel>>): string {
  const fields = Object.entries(plan).map(([name, value]) => {
    if (!Array.isArray(value)) return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
    return `${JSON.stringify(name)}:[\n${value.map((item) => JSON.stringify(item)).join(",\n")}\n]`;
  });
  return `{\n${fields.join(",\n")}\n}\n`;
}

async function main([modelPath, manifestPath]: string[]): Promise<void> {
  if (manifestPath === undefined) {
    console.error(USAGE);
    Deno.exit(2);
  }
  const { manifest, bytes } = await loadModel(modelPath, manifestPath);
  const plan = await compileModel(bytes, manifest);
  const path = modelPath.replace(/\.onnx$/, ".plan.json");
  await Deno.writeTextFile(path, planText(plan));
  const convolutions = plan.steps.filter(({ op }) => op === "conv").length;
  const megabytes = (plan.arena / 1e6).toFixed(1);
  console.log(`${path}: ${plan.steps.length} steps, ${convolutions} convolutions, ${megabytes} MB of tensors`);
}

if (import.meta.main) await main(Deno.args);
