import { converter, parse } from "culori";
import { z } from "zod";
import type { TrimapOptions } from "./matting/trimap.ts";
import { boundsSchema, canvasSchema, DEFAULT_FILL, fillSchema, MAX_SIDE } from "./sizes.ts";

const toRgb = converter("rgb");

/** A colour as eight hexadecimal digits, RRGGBBAA; the colours are not multiplied by alpha. */
export type HexColour = string & { readonly __brand: "HexColour" };

/** Any colour of CSS Color 4 (`red`, `#f00`, `rgb(255 0 0 / 50%)`, `oklch(…)`), converted to sRGB. */
const colourSchema = z.string().trim().transform((text, context): HexColour => {
  // Clients of remove.bg and others write colours as digits without `#`.
  const colour = toRgb(parse(/^([\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})$/i.test(text) ? `#${text}` : text));
  if (colour === undefined) {
    context.addIssue(`${JSON.stringify(text)} is not a CSS colour, such as "white", "#ff8800" or "rgb(0 0 0 / 50%)"`);
    return z.NEVER;
  }
  const channels = [colour.r, colour.g, colour.b, colour.alpha ?? 1];
  const bytes = channels.map((value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
  return new Uint8Array(bytes).toHex() as HexColour;
});

/** A number of pixels of the input, or a share (0 to 1) of another length, such as the image's width. */
export type Length = { pixels: number } | { part: number };

/** Parses `20px`, `10%` or a number of pixels; undefined if it is none of these. */
function parseLength(text: string): Length | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(px|%)$/i.exec(/^[\d.]+$/.test(text) ? `${text}px` : text) ?? [];
  if (unit === "%" && Number(number) <= 100) return { part: Number(number) / 100 };
  if (unit?.toLowerCase() === "px" && Number(number) <= MAX_SIDE) return { pixels: Math.round(Number(number)) };
  return undefined;
}

const words = (text: string) => text.split(/[\s,]+/).filter((word) => word !== "");

/** Space around the subject, on all sides alike or for each side. Shares refer to the larger side of the subject. */
export type Margin = Length | [top: Length, right: Length, bottom: Length, left: Length];

/** `20px` or `10%`, or two to four of them, for the sides in the order of CSS. */
export const marginSchema = z.string().trim().transform((text, context): Margin => {
  const lengths = words(text).map(parseLength);
  const [top, right = top, bottom = top, left = right] = lengths;
  if (lengths.length > 4 || !top || !right || !bottom || !left || lengths.includes(undefined)) {
    context.addIssue(
      `${JSON.stringify(text)} is not a margin, such as "20px" or "10%", or two to four of these in CSS order`,
    );
    return z.NEVER;
  }
  const sides: Margin = [top, right, bottom, left];
  return sides.every((side) => JSON.stringify(side) === JSON.stringify(top)) ? top : sides;
});

/** Two corners, in pixels of the input or shares of its width and height. */
export type Region = [left: Length, top: Length, right: Length, bottom: Length];

const WHOLE = "0% 0% 100% 100%";

/** `x1 y1 x2 y2`, each as `20px` or `10%`; undefined for the whole image. */
const regionSchema = z.string().trim().transform((text, context): Region | undefined => {
  const lengths = words(text).map(parseLength);
  if (lengths.length !== 4 || lengths.includes(undefined)) {
    context.addIssue(`${JSON.stringify(text)} is not a region, "x1 y1 x2 y2" such as "10% 20px 90% 480px"`);
    return z.NEVER;
  }
  const whole = words(WHOLE).map(parseLength);
  // 0 is the same in pixels and percent, and must have one canonical form.
  const region = lengths.map((length) => isZero(length!) ? { part: 0 } : length!) as Region;
  return JSON.stringify(region) === JSON.stringify(whole) ? undefined : region;
});

function isZero(length: Length): boolean {
  return "pixels" in length ? length.pixels === 0 : length.part === 0;
}

/** `10%` to `100%`, as a share; undefined for `original`. */
const scaleSchema = z.string().trim().transform((text, context): number | undefined => {
  if (text.toLowerCase() === "original") return undefined;
  const percent = Number(/^(\d+(?:\.\d+)?)%?$/.exec(text)?.[1]);
  if (percent >= 10 && percent <= 100) return percent / 100;
  context.addIssue(`${JSON.stringify(text)} is not a scale: "original", or from "10%" to "100%"`);
  return z.NEVER;
});

/**
 * The subject's place: 0 is flush with the left or top, 1 with the right or bottom. With `original`, its middle stays where
 * it is, or moves just so far that the subject fits.
 */
export type Position = "original" | { x: number; y: number };

/** `original`, `center`, `20%` (across and down) or `20% 80%`. */
const positionSchema = z.string().trim().transform((text, context): Position => {
  if (text.toLowerCase() === "original") return "original";
  const given = text.toLowerCase() === "center" ? "50%" : text;
  const parts = words(given).map((word) => Number(/^(\d+(?:\.\d+)?)%?$/.exec(word)?.[1]) / 100);
  const [x, y = x] = parts;
  if (parts.length > 2 || !(x <= 1) || !(y <= 1)) {
    context.addIssue(`${JSON.stringify(text)} is not a position: "original", "center", "20%" or "20% 80%"`);
    return z.NEVER;
  }
  return { x, y };
});

/** Queries and forms send numbers and booleans as text. */
const numeral = z.string().trim().regex(/^-?\d+(\.\d+)?$/).transform(Number);
const number = (minimum: number, maximum: number) =>
  z.union([z.number().meta({ minimum, maximum }), numeral], "is not a number").pipe(
    z.number().min(minimum).max(maximum),
  );
const flagWords = {
  truthy: ["true", "1", "yes", "on", "y", "enabled"],
  falsy: ["false", "0", "no", "off", "n", "disabled"],
};
const flag = z.union([z.boolean(), z.stringbool(flagWords).meta({ enum: [...flagWords.truthy, ...flagWords.falsy] })]);

const DEFAULT_SHADOW_OPACITY = 50;

/** One of these words, in any case. */
function word<const T extends string>(values: readonly T[], synonyms: Readonly<Record<string, T>> = {}) {
  return z.string().meta({ enum: [...values] }).transform((text, context): T => {
    const lower = text.trim().toLowerCase();
    const value = synonyms[lower] ?? values.find((value) => value === lower);
    if (value !== undefined) return value;
    context.addIssue(`${JSON.stringify(text)} is not one of ${values.map((value) => `"${value}"`).join(", ")}`);
    return z.NEVER;
  });
}

/** How to render an image with its mask. Every route parses its own parameters into this. */
export const renderOptionsSchema = z.strictObject({
  format: word(["png", "webp", "jpeg", "zip", "auto"], { jpg: "jpeg" }).default("png").describe(
    "Format of the result. JPEG has no transparency, so the cutout is placed on `background`, or on white. `zip` holds " +
      "`color.jpg` and `alpha.png`. `auto` is PNG if anything is transparent, else JPEG.",
  ),
  quality: number(1, 100).default(90).describe("Quality of WebP and JPEG, also in `zip`; WebP at 100 is lossless."),
  background: colourSchema.optional().meta({
    description: "CSS colour behind the subject; transparent by default.",
    example: "rgb(0 0 0 / 50%)",
  }),
  background_image: z.string().toLowerCase().regex(/^[\da-f]{64}$/, "is not a SHA-256 digest").optional().describe(
    "SHA-256 of an image to put behind the subject, filling the result; send its file along with the image.",
  ),
  size: boundsSchema.optional().meta({
    description:
      "Maximum size of the result, which is shrunk to fit: `800x600`, `800x`, `x600`, `800` (pixels, both sides) or `0.25MP`.",
    example: "800x600",
  }),
  upscale: flag.default(false).describe("Whether a smaller result is enlarged to `size`."),
  crop: flag.default(false).describe("Whether the result is cropped to the subject."),
  margin: marginSchema.optional().meta({
    description:
      "Space to keep around the subject with `crop`, up to the edge of the image: `20px`, or `10%` of the subject's larger " +
      "side; one to four values, as in CSS.",
    example: "10%",
  }),
  roi: regionSchema.optional().meta({
    description:
      "Region of interest, as `x1 y1 x2 y2` in `px` or `%` of the image; everything outside it counts as background. " +
      "Defaults to the whole image.",
    example: "0% 0% 50% 100%",
  }),
  scale: scaleSchema.optional().meta({
    description:
      "Share of the image's width or height that the subject fills, whichever is larger: `10%` to `100%`, or `original`.",
    example: "80%",
  }),
  position: positionSchema.optional().meta({
    description:
      "Where to put the subject: `original`, `center`, `20%` or `20% 80%` (0% is left or top, 100% is right or bottom); " +
      "defaults to `center` if `scale` is set, else to `original`.",
    example: "center",
  }),
  canvas: canvasSchema.optional().meta({
    description:
      "Exact size or proportions of the result: `2000x2000` (pixels), `35x45mm` (at 300 dpi) or `4:5`. The subject is scaled " +
      "to `fill` and placed by `position`, by default in the middle; `crop`, `margin` and `scale` have no effect.",
    example: "2000x2000",
  }),
  fill: fillSchema.optional().meta({
    description:
      "How much of `canvas` the subject takes up, in width or height, whichever is more: `1%` to `100%`, by default `85%`.",
    example: "90%",
  }),
  channels: word(["rgba", "alpha"]).default("rgba").describe("`alpha` returns the mask alone, as a grayscale image."),
  smooth: flag.default(false).describe(
    "Removes specks and hairs from the mask and makes its edge smooth and hard, as rembg's post-processing does: " +
      "morphological opening, blur (σ = 2 pixels of the input), threshold at half.",
  ),
  threshold: number(1, 255).pipe(z.int()).optional()
    .describe("Alpha at or above this value becomes opaque, and alpha below it transparent."),
  feather: number(0, 100).default(0)
    .describe("Softens the edge; the value is the standard deviation of a Gaussian blur, in pixels of the input."),
  solid: flag.default(false).describe(
    "Whether only the subject's edge may be translucent; translucent areas inside it become opaque.",
  ),
  matting: word(["none", "refine", "hair"]).default("none").describe(
    "How to find the alpha of edges. `refine` aligns the mask's edge with the edge in the image. `hair` finds hair, fur, leaves " +
      "and other fine detail. Both remove the old background's colour.",
  ),
  refine: flag.default(false).describe("The same as `matting=refine`; ignored if `matting` is `hair`."),
  shadow: flag.default(false).describe(
    "Whether to draw a soft shadow under the subject, within the bounds of the result.",
  ),
  shadow_opacity: number(0, 100).default(DEFAULT_SHADOW_OPACITY).describe("How dark the shadow is, in percent."),
}).transform(({ fill = DEFAULT_FILL, ...given }, context) => {
  if (given.canvas !== undefined && "width" in given.canvas && given.size !== undefined) {
    context.addIssue({ code: "custom", path: ["size"], message: "canvas sets the size already; leave size out" });
    return z.NEVER;
  }
  const crop = given.crop && given.canvas === undefined;
  const channels = given.format === "zip" ? "rgba" : given.channels;
  const alphaOnly = channels === "alpha";
  const opaque = !alphaOnly && given.background?.endsWith("ff");
  const format = given.format === "auto" && opaque ? "jpeg" : given.format;
  // Options without an effect must not change the cache key.
  return {
    ...given,
    format,
    channels,
    quality: format === "png" ? undefined : given.quality,
    background: alphaOnly ? undefined : given.background ?? (format === "jpeg" ? "ffffffff" as HexColour : undefined),
    background_image: alphaOnly ? undefined : given.background_image,
    upscale: given.size !== undefined && given.upscale,
    canvas: given.canvas && { ...given.canvas, fill },
    crop,
    margin: crop ? given.margin : undefined,
    scale: given.canvas === undefined ? given.scale : undefined,
    position: given.canvas === undefined ? effectivePosition(given) : positionOnCanvas(given.position),
    // Results of `refine` are stored under this name.
    matting: given.matting === "hair" ? given.matting : undefined,
    refine: given.matting === "refine" || (given.matting === "none" && given.refine),
    shadow: !alphaOnly && given.shadow,
    shadow_opacity: !alphaOnly && given.shadow ? given.shadow_opacity : DEFAULT_SHADOW_OPACITY,
  };
});

/** Cropping without a margin undoes the position. With one it does not: the position decides how much of the margin fits. */
function effectivePosition(
  { scale, position, crop, margin }: { scale?: number; position?: Position; crop: boolean; margin?: Margin },
): Position | undefined {
  if (crop && margin === undefined) return undefined;
  if (scale === undefined) return position === "original" ? undefined : position;
  return position ?? { x: 0.5, y: 0.5 };
}

/** What rembg's API alone can ask for: alpha matting if there is a `trimap`, else decontamination. */
export interface RembgMatting {
  readonly trimap?: TrimapOptions;
}

export type RenderOptions = z.output<typeof renderOptionsSchema> & { readonly rembg?: RembgMatting };

function positionOnCanvas(position: Position | undefined): Position | undefined {
  const isMiddle = typeof position === "object" && position.x === 0.5 && position.y === 0.5;
  return isMiddle ? undefined : position;
}

/** The names of all options. */
export const renderOptionNames = Object.keys(renderOptionsSchema.in.shape);

export const defaultRenderOptions: RenderOptions = renderOptionsSchema.parse({});

/**
 * The options as text that does not depend on their order or on defaults that are spelled out. Keys of cached results
 * contain it, so its form must not change.
 */
export function canonicalRenderOptions(options: RenderOptions): string {
  const defaults: Record<string, unknown> = defaultRenderOptions;
  const chosen = Object.entries(options).filter(([name, value]) => value !== undefined && value !== defaults[name]);
  return JSON.stringify(chosen.sort(([a], [b]) => a < b ? -1 : 1));
}
