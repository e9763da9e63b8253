import { z } from "zod";
import { didYouMean } from "../../base/nearest.ts";
import { sha256 } from "../../base/hash.ts";
import { decodeBase64, type Fields, type FormFile } from "../../http/fields.ts";
import { marginSchema, type RenderOptions, renderOptionsSchema } from "../../render/options.ts";
import { type Fault, parameterError } from "./errors.ts";

/** The maximum size of a result for each `size`, in megapixels. A smaller image keeps its size. */
const MEGAPIXELS = {
  preview: 0.25,
  small: 0.25,
  regular: 0.25,
  medium: 1.5,
  hd: 4,
  full: 25,
  "4k": 25,
  "50mp": 50,
  auto: 25,
} as const;

/** The maximum size of a PNG for any `size`, in megapixels. */
const PNG_MEGAPIXELS = 10;

const FORMATS = { auto: "auto", png: "png", jpg: "jpeg", webp: "webp", zip: "zip" } as const;

const keysOf = <T extends object>(table: T) => Object.keys(table) as [keyof T, ...(keyof T)[]];

const text = z.string("is a file; send text");
const choice = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.string().toLowerCase().pipe(z.enum(values));
const file = z.custom<FormFile>((value) => typeof value === "object", "is not a file; send it as multipart/form-data");
const address = z.url({ protocol: /^https?$/, error: "is not an http(s) URL" });

/** remove.bg allows at most half of the subject, or 500 pixels. */
const cropMargin = text.refine((value) => {
  const margin = marginSchema.safeParse(value).data ?? { pixels: 0 };
  return (Array.isArray(margin) ? margin : [margin]).every((side) =>
    "part" in side ? side.part <= 0.5 : side.pixels <= 500
  );
}, "is more than 50% or 500px");

/** All parameters. The schema of the render options checks the ones that become render options. */
export const parametersSchema = z.strictObject({
  image_file: file.optional(),
  image_file_b64: text.optional(),
  image_url: address.optional(),
  size: choice(keysOf(MEGAPIXELS)).default("preview"),
  type: choice(["auto", "person", "product", "car", "animal", "graphic", "graphics", "transportation", "other"])
    .default("auto"),
  type_level: choice(["none", "1", "2", "latest"]).default("1"),
  format: choice(keysOf(FORMATS)).default("auto"),
  roi: text.optional(),
  crop: text.optional(),
  crop_margin: cropMargin.optional(),
  scale: text.optional(),
  position: text.optional(),
  channels: text.optional(),
  add_shadow: z.stringbool().optional(),
  shadow_type: z.string().toLowerCase()
    .pipe(z.enum(["none", "drop"], 'only drop shadows are available; send "drop", "none" or leave it out')).optional(),
  // It has no effect without a shadow.
  shadow_opacity: z.coerce.number().min(0).max(100).optional(),
  semitransparency: z.stringbool().default(true).meta({ default: "true" }),
  bg_color: text.optional(),
  bg_image_url: address.optional(),
  bg_image_file: file.optional(),
});

const PARAMETER_NAMES = Object.keys(parametersSchema.shape);

/** remove.bg's names of render options. */
const NAMES: Readonly<Record<string, string>> = { margin: "crop_margin", background: "bg_color" };

/** A picture's bytes, or its URL. */
export type Source = { readonly bytes: Uint8Array<ArrayBuffer> } | { readonly url: string };

/** The parameters of one request. */
export interface RemovebgParameters {
  readonly image: Source;
  readonly background?: Source;
  /** The render options, given the background's bytes. */
  renderOptions(background: Uint8Array<ArrayBuffer> | undefined): Promise<RenderOptions>;
  /** The value of `X-Type`; undefined if the field is not sent. */
  readonly type?: string;
}

/**
 * Parses the fields of a request.
 * @throws {ParameterError}
 * @throws {HttpError} 400 `invalid_base64`.
 */
export function parseParameters(fields: Fields): RemovebgParameters {
  const parsed = parametersSchema.safeParse(Object.fromEntries(fields));
  if (!parsed.success) throw parameterError(...faultsOf(parsed.error));
  const parameters = parsed.data;
  const image = imageOf(parameters);
  const background = backgroundOf(parameters);
  const format = FORMATS[parameters.format];
  const transparent = parameters.bg_color === undefined && background === undefined;
  const png = format === "png" || (format === "auto" && transparent);
  const given = {
    format,
    size: `${Math.min(MEGAPIXELS[parameters.size], png ? PNG_MEGAPIXELS : Infinity)}MP`,
    crop: parameters.crop,
    margin: parameters.crop_margin,
    roi: parameters.roi,
    scale: parameters.scale,
    position: parameters.position,
    channels: parameters.channels,
    solid: !parameters.semitransparency,
    background: parameters.bg_color,
    shadow: hasShadow(parameters),
    shadow_opacity: parameters.shadow_opacity,
  };
  const render = renderOptionsSchema.safeParse(given);
  if (!render.success) throw parameterError(...faultsOf(render.error));
  return {
    image,
    background,
    renderOptions: async (bytes) =>
      bytes === undefined
        ? render.data
        : renderOptionsSchema.parse({ ...given, background_image: await sha256(bytes) }),
    type: typeOf(parameters),
  };
}

/** Either parameter asks for a shadow, unless the other turns it off. */
function hasShadow({ add_shadow, shadow_type }: z.output<typeof parametersSchema>): boolean {
  return add_shadow !== false && shadow_type !== "none" && (add_shadow === true || shadow_type === "drop");
}

/** The requested type, since none is detected. */
function typeOf({ type, type_level }: z.output<typeof parametersSchema>): string | undefined {
  if (type_level === "none") return undefined;
  return type === "auto" ? "other" : type === "graphic" ? "graphics" : type;
}

function imageOf({ image_file, image_file_b64, image_url }: z.output<typeof parametersSchema>): Source {
  const sources = [image_file, image_file_b64, image_url].filter((source) => source !== undefined);
  const expected = "send exactly one of image_file, image_file_b64 and image_url";
  if (sources.length === 0) {
    throw parameterError({ title: "No image given", code: "missing_source", detail: expected });
  }
  if (sources.length > 1) {
    throw parameterError({ title: "Multiple image sources given", code: "multiple_sources", detail: expected });
  }
  if (image_url !== undefined) return { url: image_url };
  return { bytes: image_file?.bytes ?? decodeBase64(image_file_b64!, "image_file_b64") };
}

function backgroundOf(
  { bg_color, bg_image_url, bg_image_file }: z.output<typeof parametersSchema>,
): Source | undefined {
  if ([bg_color, bg_image_url, bg_image_file].filter((source) => source !== undefined).length > 1) {
    const detail = "send at most one of bg_color, bg_image_url and bg_image_file";
    throw parameterError({ title: "Multiple background sources given", code: "multiple_bg_sources", detail });
  }
  if (bg_image_url !== undefined) return { url: bg_image_url };
  return bg_image_file && { bytes: bg_image_file.bytes };
}

function faultsOf({ issues }: z.ZodError): [Fault, ...Fault[]] {
  const faults = issues.flatMap((issue): Fault[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((name) => ({
        title: `Unknown parameter: ${name}`,
        code: "unknown_parameter",
        detail: `there is no ${name}${didYouMean(name, PARAMETER_NAMES)}; known are ${PARAMETER_NAMES.join(", ")}`,
      }));
    }
    const option = String(issue.path[0]);
    const name = NAMES[option] ?? option;
    return [{ title: `Invalid ${name} parameter given`, code: `invalid_${name}`, detail: `${name}: ${issue.message}` }];
  });
  return faults as [Fault, ...Fault[]];
}
