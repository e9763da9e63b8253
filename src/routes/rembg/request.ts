import { z } from "zod";
import type { Fields, FormFile } from "../../http/fields.ts";
import { type RenderOptions, renderOptionsSchema } from "../../render/options.ts";
import { describeIssues, ParameterError } from "../shared/parameters.ts";

/** Flags as rembg's server (pydantic) reads them, so that everything it accepts is accepted here. */
const words = { truthy: ["true", "1", "on", "yes", "t", "y"], falsy: ["false", "0", "off", "no", "f", "n"] };
const flag = z.stringbool(words).meta({ enum: [...words.truthy, ...words.falsy] }).default(false);
const integer = (maximum?: number) =>
  z.string().trim().regex(/^\d{1,9}$/, "is not a whole number").transform(Number)
    .refine((value) => maximum === undefined || value <= maximum, `is more than ${maximum}`);

/** The parameters of rembg's API. */
export const parametersSchema = z.strictObject({
  model: z.string().optional(),
  a: flag.describe("Alpha matting. `POST /cutouts?matting=hair` gives finer edges."),
  // They have no effect without alpha matting.
  af: integer(255).default(240).describe("Foreground threshold of alpha matting."),
  ab: integer(255).default(10).describe("Background threshold of alpha matting."),
  ae: integer().default(10).describe("Erosion of alpha matting, in pixels."),
  om: flag.describe("Return the mask only."),
  ppm: flag.describe("Post-process the mask."),
  dc: flag.describe("Decontaminate the edges: remove the old background's colour from them."),
  vm: flag.describe("Refine with ViTMatte; refused."),
  /** `red,green,blue,alpha`, each 0 to 255. */
  bgc: z.string().regex(/^\s*\d{1,3}\s*(,\s*\d{1,3}\s*){2,3}$/, "is not red,green,blue,alpha, each from 0 to 255")
    .refine((text) => text.split(",").every((channel) => Number(channel) <= 255), "has a channel over 255").optional(),
  /** Prompts for models that are not available here. */
  extras: z.string().optional(),
});

export type Parameters = z.output<typeof parametersSchema>;

/** Features that are not available, with the nearest alternative. */
const NOT_SERVED = {
  vm: "ViTMatte is not available; POST /cutouts?matting=hair gives finer edges",
} as const;

/** An invalid parameter, as FastAPI lists it. */
export interface Fault {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
}

type Place = "query" | "body";

/** @throws {ParameterError} */
export function parseParameters(given: Record<string, unknown>, place: Place): Parameters {
  const parsed = parametersSchema.safeParse(given);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, code, message }): Fault => ({
      loc: [place, ...path.map(String)],
      msg: message,
      type: code ?? "invalid",
    }));
    throw new ParameterError(faults as [Fault, ...Fault[]], describeIssues(parsed.error, place));
  }
  const parameters = parsed.data;
  for (const [name, reason] of Object.entries(NOT_SERVED)) {
    if (parameters[name as keyof typeof NOT_SERVED]) throw faultOf(place, name, reason, "not_served");
  }
  if (parameters.extras !== undefined && !/^\s*(\{\s*\}\s*)?$/.test(parameters.extras)) {
    throw faultOf(place, "extras", "no model on this server supports prompts", "not_served");
  }
  return parameters;
}

/** @throws {ParameterError} */
export function urlOf(url: string | undefined): string {
  if (!url) throw missing("query", "url");
  return url;
}

/** @throws {ParameterError} */
export function fileOf(fields: Fields): FormFile {
  const file = fields.get("file");
  if (file === undefined) throw missing("body", "file");
  if (typeof file !== "string") return file;
  throw faultOf("body", "file", "is text, not a file; with curl, write -F file=@photo.jpg", "file_type");
}

export function renderOptionsOf({ om, ppm, bgc, a, af, ab, ae, dc }: Parameters): RenderOptions {
  const [red, green, blue, alpha = 255] = bgc?.split(",").map(Number) ?? [];
  const options = renderOptionsSchema.parse({
    ...(om && { channels: "alpha" }),
    ...(ppm && { smooth: true }),
    ...(bgc !== undefined && { background: `rgb(${red} ${green} ${blue} / ${alpha / 255})` }),
  });
  // As in rembg, the mask alone is never matted.
  if (om || !(a || dc)) return options;
  return { ...options, rembg: a ? { trimap: { foreground: af, background: ab, erosion: ae } } : {} };
}

function missing(place: Place, name: string): ParameterError<Fault> {
  return new ParameterError([{ loc: [place, name], msg: "Field required", type: "missing" }], `${name}: is missing`);
}

function faultOf(place: Place, name: string, msg: string, type: string): ParameterError<Fault> {
  return new ParameterError([{ loc: [place, name], msg, type }], `${name}: ${msg}`);
}
