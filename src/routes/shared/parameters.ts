import { z } from "zod";
import { type ImageId, isImageId } from "../../cache/keys.ts";
import { HttpError } from "../../http/errors.ts";

/** The image in an address, for descriptions of routes; {@link parseImageId} is what parses it. */
export const imageParameter = z.object({
  image: z.string().regex(/^(?:name:)?[0-9a-fA-F]{64}$/).meta({
    description: "The SHA-256 digest of the image's bytes, in hexadecimal digits.",
    // Of the example of POST /predict, so that the examples answer each other.
    example: "b1ff9c8ea3a780bad09b346c423d2d0e46815926879b18e841d928376a946640",
  }),
});

/**
 * The image that an address names.
 * @throws {HttpError} 400 `invalid_digest`.
 */
export function parseImageId(text: string): ImageId {
  const image = text.toLowerCase();
  if (isImageId(image)) return image;
  const shown = JSON.stringify(text.slice(0, 80));
  throw new HttpError(400, "invalid_digest", `${shown} is not a SHA-256 digest in 64 hexadecimal digits`);
}

/** What is wrong with a request, field by field; `root` names the whole. */
export function faultsOf({ issues }: z.ZodError, root: string): string {
  return issues.map(({ path, message }) => `${path.join(".") || root}: ${message}`).join("; ");
}
