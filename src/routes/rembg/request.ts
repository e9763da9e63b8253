import { z } from "zod";
import type { Fields, FormFile } from "../../http/fields.ts";
import { type RenderOptions, renderOptionsSchema } from "../../render/options.ts";
import { describeIssues, ParameterError } from "../shared/parameters.ts";

/** Flags as rembg's server (pydantic) reads them, so that everything it accepts is accepted here. */
const words = { truthy: ["true", "1", "on", "yes", "t", "y"], falsy: ["false", "0", "off", "no", "f", "n"] };
// A default is the text that would be sent for it.
const flag = z.stringbool(words).meta({ enum: [...words.truthy, ...words.falsy] }).default(false).meta({
  default: "false",
});
const integer = (maximum?: number) =>
  z.string().trim().regex(/^\+?\d+(_\d+)*(\.0*)?$/, "is not a whole number")
    .transform((text) => Number(text.replaceAll("_", "")))
    .refine((value) => maximum === undefined || value <= maximum, `is more than ${maximum}`);

/** The parameters of rembg's API. Others are ignored, as FastAPI does. */
export const parametersSchema = z.object({
  model: z.string().optional(),
  a: flag.describe("Alpha matting. `POST /cutouts?matting=hair` gives finer edges."),
  // They have no effect without alpha matting.
  af: integer(255).default(240).meta({ default: "240" }).describe("Foreground threshold of alpha matting."),
  ab: integer(255).default(10).meta({ default: "10" }).describe("Background threshold of alpha matting."),
  ae: integer().default(10).meta({ default: "10" }).describe("Erosion of alpha matting, in pixels."),
  om: flag.describe("Return the mask only."),
  ppm: flag.describe("Post-process the mask."),
  dc: flag.describe("Decontaminate the edges: remove the old background's colour from them."),
  vm: flag.describe("Refine with ViTMatte; refused."),
  bgc: z.string().regex(/^\s*[+-]?\d+\s*(,\s*[+-]?\d+\s*){2,3}$/, "is not red,green,blue,alpha, each from 0 to 255")
    .optional().describe("Background colour: red,green,blue,alpha, each from 0 to 255."),
  extras: z.string().optional().describe("JSON with parameters of models that are not served here; ignored."),
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

/** The parameters that rembg reads from the query of a POST. All others it reads from the form. */
const QUERY_OF_POST: ReadonlySet<string> = new Set(["bgc", "extras"]);

/**
 * The parameters of a POST: those of the form, and those of the query that can be used. rembg ignores most of a POST's
 * query, so what is wrong there must not be refused.
 * @throws {ParameterError}
 */
export function parsePostParameters(
  form: Readonly<Record<string, unknown>>,
  query: Readonly<Record<string, string>>,
  models: readonly string[],
): Parameters {
  const usable = Object.entries(query).filter(([name, value]) => {
    if (QUERY_OF_POST.has(name)) return true;
    if (name === "model") return models.includes(value);
    return isServed(name, value);
  });
  return parseParameters({ ...Object.fromEntries(usable), ...form }, "body");
}

function isServed(name: string, value: string): boolean {
  return !(name in NOT_SERVED) && parametersSchema.safeParse({ [name]: value }).success;
}

/** @throws {ParameterError} */
export function parseParameters(given: Readonly<Record<string, unknown>>, place: Place): Parameters {
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
  if (wantsPutAlpha(parameters.extras)) {
    throw faultOf(
      place,
      "extras",
      "putalpha is not available; the background's colours are always removed",
      "not_served",
    );
  }
  return parameters;
}

/** Of rembg's own parameters, `extras` can set this one. Models ignore those that they do not know, and text that is no JSON. */
function wantsPutAlpha(extras = ""): boolean {
  try {
    return Boolean(JSON.parse(extras)?.putalpha);
  } catch {
    return false;
  }
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
  // Pillow, which rembg draws with, clips channels.
  const channels = bgc?.split(",").map((channel) => Math.min(255, Math.max(0, Number(channel))));
  const [red, green, blue, alpha = 255] = channels ?? [];
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
