import { z } from "zod";
import type { Model } from "./manifest.ts";
import { planSchema } from "./plan.ts";

/**
 * Adds the plan in `NAME.plan.json` beside `NAME.onnx`, if there is one.
 * @throws {Error} if that file is not a plan, or is one of another model file.
 */
export async function withPlan(model: Model, modelPath: string | URL): Promise<Model> {
  const path = `${modelPath}`.replace(/\.onnx$/, "") + ".plan.json";
  let text: string;
  try {
    text = await Deno.readTextFile(modelPath instanceof URL ? new URL(path) : path);
  } catch (error) {
    // A model of one's own lies where the process may read that one file.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) return model;
    throw new Error(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not JSON: ${(error as Error).message}`);
  }
  const { data: plan, error } = planSchema.safeParse(json);
  if (error) throw new Error(`${path} is not a plan:\n${z.prettifyError(error)}`);
  if (plan.model !== model.sha256) {
    throw new Error(`${path} is the plan of a file with the SHA-256 ${plan.model}, but the model has ${model.sha256}`);
  }
  return { ...model, plan };
}
