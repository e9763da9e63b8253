import { createHash } from "node:crypto";
import { z } from "zod";
import { sha256, type Sha256Hex } from "../../base/hash.ts";
import type { Plan } from "./plan.ts";

const triple = z.tuple([z.number(), z.number(), z.number()]);

/** `md5:` is for files whose publisher gives no SHA-256. */
const digest = z.string().regex(/^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$/, "is not sha256:… or md5:…");

/** The JSON file beside a model file: all that pre- and post-processing need to know and the model file does not say. */
export const manifestSchema = z.strictObject({
  name: z.string().min(1),
  licence: z.string().min(1),
  source: z.url(),
  citation: z.string().optional(),
  /** The download address, for `deno task model pull`. */
  url: z.url({ protocol: /^https?$/ }).optional(),
  /** Of the model file, which must match. */
  digest,
  /** The upstream file, if `tools/prepare_model.py` made the model file from one. */
  export: z.strictObject({ url: z.url({ protocol: /^https?$/ }), digest }).optional(),
  /** float32, 1×3×height×width, RGB. */
  input: z.strictObject({
    /** Defaults to the model's only input. */
    name: z.string().optional(),
    width: z.int().positive(),
    height: z.int().positive(),
  }),
  /** float32, 1×1×height×width (or without the second axis). Defaults to the model's first output. */
  output: z.strictObject({ name: z.string() }).optional(),
  /** `(x / scale − mean) / std`; scale is the image's largest value (`max`) or 255. */
  normalisation: z.strictObject({ scale: z.enum(["max", "255"]), mean: triple, std: triple.refine(noZero, "is zero") }),
  /** How the output becomes a mask: it, or its sigmoid, is stretched to the whole range, or it is a probability. */
  mask: z.enum(["min-max", "sigmoid-min-max", "probability"]),
});

export type Manifest = z.infer<typeof manifestSchema>;

function noZero(values: number[]): boolean {
  return !values.includes(0);
}

/** A model as it is on disk. */
export interface Model {
  readonly manifest: Manifest;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sha256: Sha256Hex;
  /**
   * A digest of model file, manifest and pipeline version. It changes whenever a mask could, so a cached mask is never
   * taken for another model's.
   */
  readonly version: string;
  /** For the compiled backend, if there is one. Masks are the same to 1/255 with it, so it does not change the version. */
  readonly plan?: Plan;
}

/** Raise it with every code change that changes a mask or a rendered file. */
const PIPELINE_VERSION = 4;

/**
 * Reads and checks a model and its manifest.
 * @throws {Error} that names the file and its fault.
 */
export async function loadModel(modelPath: string | URL, manifestPath: string | URL): Promise<Model> {
  const read = async <T>(path: string | URL, content: Promise<T>) => {
    try {
      return await content;
    } catch (error) {
      throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  };
  const text = await read(manifestPath, Deno.readTextFile(manifestPath));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`${manifestPath} is not JSON: ${(error as Error).message}`);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${manifestPath} is not a model manifest:\n${z.prettifyError(parsed.error)}`);
  const manifest = parsed.data;
  const bytes = await read(modelPath, Deno.readFile(modelPath));
  const sha256OfFile = await sha256(bytes);
  const [algorithm] = manifest.digest.split(":");
  const actual = algorithm === "md5" ? createHash("md5").update(bytes).digest("hex") : sha256OfFile;
  if (`${algorithm}:${actual}` !== manifest.digest) {
    throw new Error(
      `${modelPath} has the digest ${algorithm}:${actual}, but ${manifestPath} describes ${manifest.digest}`,
    );
  }
  const { input, output, normalisation, mask } = manifest;
  const identity = JSON.stringify([PIPELINE_VERSION, sha256OfFile, input, output, normalisation, mask]);
  const version = (await sha256(new TextEncoder().encode(identity))).slice(0, 16);
  return { manifest, bytes, sha256: sha256OfFile, version };
}
