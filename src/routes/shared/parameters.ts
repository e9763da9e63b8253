import { z } from "zod";
import { type ImageId, isImageId } from "../../cache/keys.ts";
import { HttpError } from "../../http/errors.ts";

/** The image in a path, for descriptions of routes; {@link parseImageId} parses it. */
export const imageParameter = z.object({
  image: z.string().regex(/^(?:name:)?[0-9a-fA-F]{64}$/).meta({
    description: "The SHA-256 digest of the image file, in hexadecimal digits.",
    // The digest of the image in the example of POST /predict, so that the two examples work together.
    example: "b1ff9c8ea3a780bad09b346c423d2d0e46815926879b18e841d928376a946640",
  }),
});

/**
 * The image that a path names.
 * @throws {HttpError} 400 `invalid_digest`.
 */
export function parseImageId(text: string): ImageId {
  const image = text.toLowerCase();
  if (isImageId(image)) return image;
  const shown = JSON.stringify(text.slice(0, 80));
  throw new HttpError(400, "invalid_digest", `${shown} is not a SHA-256 digest of 64 hexadecimal digits`);
}

/** Lists the issues of a request by field; `root` names the request as a whole. */
export function describeIssues({ issues }: z.ZodError, root: string): string {
  return issues.map(({ path, message }) => `${path.join(".") || root}: ${message}`).join("; ");
}

/** Invalid parameters, each as a `Fault` in the format of its API. */
export class ParameterError<Fault> extends HttpError {
  constructor(readonly faults: readonly [Fault, ...Fault[]], message: string) {
    super(422, "invalid_request", message);
  }
}
