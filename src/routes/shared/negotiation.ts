import type { Context } from "hono";
import { accepts } from "hono/accepts";

/**
 * The media type that best matches the request's `Accept` (RFC 9110, section 12.5.1).
 * @param types that the route can send. The first is chosen if the request has no preference.
 * @returns undefined if the request accepts none of them.
 */
export function negotiate<Type extends string>(c: Context, types: readonly [Type, ...Type[]]): Type | undefined {
  const chosen = accepts(c, { header: "Accept", supports: [...types], default: types[0], match: bestMatch });
  return (chosen || undefined) as Type | undefined;
}

/** Hono's own matching does not know the range that accepts everything, which curl and most libraries send. */
const bestMatch: NonNullable<Parameters<typeof accepts>[1]["match"]> = (ranges, { supports }) => {
  // An empty list expresses no preference.
  if (ranges.length === 0) return supports[0];
  const quality = (type: string) => {
    const candidates = [type, `${type.split("/")[0]}/*`, "*/*"];
    // Media types are case-insensitive (RFC 9110, section 8.3.1).
    const range = candidates.map((name) => ranges.find((range) => range.type.toLowerCase() === name)).find(Boolean);
    return range?.q ?? 0;
  };
  const [best] = supports.toSorted((a, b) => quality(b) - quality(a));
  return quality(best) > 0 ? best : "";
};
