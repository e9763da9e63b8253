import { loadModel, type Model } from "./manifest.ts";

/** The models that every server has, and their paths in `static/`, without `.onnx`. */
const SHIPPED_MODELS = new Map([
  ["u2netp", "model"],
  ["u2netp-fast", "models/u2netp-fast"],
  ["u2netp-rank32", "models/u2netp-rank32"],
]);

export interface ModelSelection {
  /** The name of the default model, unless `modelPath` and `manifestPath` give its files. */
  readonly model: string;
  readonly modelPath?: string;
  readonly manifestPath?: string;
  /** The names of further models to load at the start. */
  readonly more: readonly string[];
  /** Whether to read the plans of models that have one, for the compiled backend. */
  readonly plans: boolean;
}

export interface LoadedModels {
  /** For the start; the first is the default. */
  readonly models: [Model, ...Model[]];
  /** The other models that ship, for when a request names them. */
  readonly onDemand: Model[];
}

/**
 * Reads the selected models, and those that ship, from `static/`.
 * @throws {Error} if a file is missing or does not match its manifest.
 */
export async function loadModels(selection: ModelSelection, staticFolder: URL): Promise<LoadedModels> {
  const { model, modelPath, manifestPath, more, plans } = selection;
  const load = async (modelPath: string | URL, manifestPath: string | URL, name?: string) => {
    const model = await loadModel(modelPath, manifestPath).catch((error) => {
      throw name !== undefined && error.cause instanceof Deno.errors.NotFound ? notPulled(name, error) : error;
    });
    return plans ? await (await import("./plan_file.ts")).withPlan(model, modelPath) : model;
  };
  const loadByName = (name: string) => {
    const path = SHIPPED_MODELS.get(name) ?? `models/${name}`;
    return load(new URL(`${path}.onnx`, staticFolder), new URL(`${path}.json`, staticFolder), name);
  };
  const first = await (modelPath && manifestPath ? load(modelPath, manifestPath) : loadByName(model));
  const selected = new Set([first.manifest.name, ...more]);
  const others = [...selected].slice(1);
  const unselected = [...SHIPPED_MODELS.keys()].filter((name) => !selected.has(name));
  const [loaded, onDemand] = await Promise.all([others, unselected].map((names) => Promise.all(names.map(loadByName))));
  return { models: [first, ...loaded], onDemand };
}

function notPulled(name: string, cause: Error): Error {
  return new Error(
    `the model ${name} is not here: \`deno task model pull ${name}\` fetches it, and \`deno task model list\` lists the ` +
      "models that there are",
    { cause },
  );
}
