import { z } from "zod";

/** How a cutout is made of an image and its mask. Every route parses its own parameters into this. */
export const renderOptionsSchema = z.strictObject({
  format: z.enum(["png"]).default("png"),
});

export type RenderOptions = z.infer<typeof renderOptionsSchema>;

export const defaultRenderOptions: RenderOptions = renderOptionsSchema.parse({});

/**
 * The same text for the same options, whatever their order and whether a default was spelled out; its form is part of
 * the keys of stored results.
 */
export function canonicalRenderOptions(options: RenderOptions): string {
  const defaults = defaultRenderOptions as Record<string, unknown>;
  const chosen = Object.entries(options).filter(([name, value]) => value !== undefined && value !== defaults[name]);
  return JSON.stringify(chosen.sort(([a], [b]) => a < b ? -1 : 1));
}
