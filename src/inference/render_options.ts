import { converter, parse } from "culori";
import { z } from "zod";

const toRgb = converter("rgb");

/** A colour as eight hexadecimal digits, RRGGBBAA, 0–255 each, not multiplied by alpha. */
export type HexColour = string & { readonly __brand: "HexColour" };

/** Any colour of CSS Color 4 (`red`, `#f00`, `rgb(255 0 0 / 50%)`, `oklch(…)`), in sRGB. */
export const colourSchema = z.string().trim().transform((text, context): HexColour => {
  // Six digits without `#` are how remove.bg's and others' clients write colours.
  const colour = toRgb(parse(/^([\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})$/i.test(text) ? `#${text}` : text));
  if (colour === undefined) {
    context.addIssue(`${JSON.stringify(text)} is not a CSS colour, such as "white", "#ff8800" or "rgb(0 0 0 / 50%)"`);
    return z.NEVER;
  }
  const channels = [colour.r, colour.g, colour.b, colour.alpha ?? 1];
  const bytes = channels.map((value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
  return new Uint8Array(bytes).toHex() as HexColour;
});

/** What the result must fit into: a box in pixels, either side of which may be open, or a number of pixels. */
export type Bounds = { width?: number; height?: number } | { pixels: number };

const LARGEST_SIDE = 16384;

/** `800x600`, `800x`, `x600` (pixels) or `0.25MP` (millions of pixels). */
export const boundsSchema = z.string().trim().transform((text, context): Bounds => {
  const [, megapixels] = /^(\d+(?:\.\d+)?)MP$/i.exec(text) ?? [];
  if (megapixels !== undefined && Number(megapixels) > 0) return { pixels: Math.round(Number(megapixels) * 1e6) };
  const [, width, height] = /^(\d*)x(\d*)$/i.exec(text) ?? [];
  const sides = [width, height].filter((side) => side !== undefined && side !== "").map(Number);
  if (sides.length === 0 || sides.some((side) => side < 1 || side > LARGEST_SIDE)) {
    context.addIssue(
      `${JSON.stringify(text)} is not a size, such as "800x600", "800x", "x600" (1 to ${LARGEST_SIDE}) or "0.25MP"`,
    );
    return z.NEVER;
  }
  return { ...(width && { width: Number(width) }), ...(height && { height: Number(height) }) };
});

/** Space around the subject: pixels of the input, or a part (0 to 1) of the subject's larger side. */
export type Margin = { pixels: number } | { part: number };

/** `20px` or `10%`. */
export const marginSchema = z.string().trim().transform((text, context): Margin => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(px|%)$/i.exec(text) ?? [];
  if (unit === "%" && Number(number) <= 100) return { part: Number(number) / 100 };
  if (unit?.toLowerCase() === "px" && Number(number) <= LARGEST_SIDE) return { pixels: Math.round(Number(number)) };
  context.addIssue(`${JSON.stringify(text)} is not a margin, such as "20px" or "10%"`);
  return z.NEVER;
});

/** Numbers and truth values also come as the text of a query or a form. */
const numeral = z.string().trim().regex(/^-?\d+(\.\d+)?$/).transform(Number);
const number = (minimum: number, maximum: number) =>
  z.union([z.number().meta({ minimum, maximum }), numeral], "is not a number").pipe(
    z.number().min(minimum).max(maximum),
  );
const words = {
  truthy: ["true", "1", "yes", "on", "y", "enabled"],
  falsy: ["false", "0", "no", "off", "n", "disabled"],
};
const flag = z.union([z.boolean(), z.stringbool(words).meta({ enum: [...words.truthy, ...words.falsy] })]);

/** How a cutout is made of an image and its mask. Every route parses its own parameters into this. */
export const renderOptionsSchema = z.strictObject({
  format: z.enum(["png", "webp", "jpeg"]).default("png")
    .describe("Of the file. JPEG knows no transparency: it is put on `background`, white where that is not given."),
  quality: number(1, 100).default(90).describe("Of WebP and JPEG; WebP at 100 is lossless."),
  background: colourSchema.optional().meta({
    description: "What the subject is put on: a CSS colour; transparent where it is not given.",
    example: "rgb(0 0 0 / 50%)",
  }),
  size: boundsSchema.optional().meta({
    description: "What the result is shrunk to fit into: `800x600`, `800x`, `x600` (pixels) or `0.25MP`.",
    example: "800x600",
  }),
  upscale: flag.default(false).describe("Whether a smaller result is enlarged to `size`."),
  crop: flag.default(false).describe("Whether the result is cut to the subject."),
  margin: marginSchema.optional().meta({
    description: "Around the subject, with `crop`: `20px`, or `10%` of its larger side.",
    example: "10%",
  }),
  channels: z.enum(["rgba", "alpha"]).default("rgba").describe("`alpha`: the mask alone, as a grayscale image."),
  threshold: number(1, 255).pipe(z.int()).optional()
    .describe("Alpha at and above this becomes opaque, below it transparent."),
  feather: number(0, 100).default(0)
    .describe("Softens the edge: the standard deviation of a Gaussian, in pixels of the input."),
  refine: flag.default(false)
    .describe("Moves the mask's edge to where the image has it, and takes the old background's colour out of it."),
}).transform((options) => ({
  ...options,
  // What has no effect must not make another key.
  quality: options.format === "png" ? undefined : options.quality,
  background: options.channels === "alpha"
    ? undefined
    : options.background ?? (options.format === "jpeg" ? "ffffffff" as HexColour : undefined),
  upscale: options.size !== undefined && options.upscale,
  margin: options.crop ? options.margin : undefined,
}));

export type RenderOptions = z.output<typeof renderOptionsSchema>;

export const defaultRenderOptions: RenderOptions = renderOptionsSchema.parse({});

/**
 * The same text for the same options, whatever their order and whether a default was spelled out; its form is part of
 * the keys of stored results.
 */
export function canonicalRenderOptions(options: RenderOptions): string {
  const defaults: Record<string, unknown> = defaultRenderOptions;
  const chosen = Object.entries(options).filter(([name, value]) => value !== undefined && value !== defaults[name]);
  return JSON.stringify(chosen.sort(([a], [b]) => a < b ? -1 : 1));
}
