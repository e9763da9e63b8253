import type { Context } from "hono";
import { z } from "zod";
import { didYouMean } from "../../base/nearest.ts";
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

/**
 * The parameters of a query. An empty one counts as not given, as HTML forms send it.
 * @throws {HttpError} 422 `invalid_request` if one is repeated: which value was meant?
 */
export function queryOf(c: Context): Record<string, string> {
  const query: Record<string, string> = {};
  for (const [name, values] of Object.entries(c.req.queries())) {
    if (values.length > 1) throw new HttpError(422, "invalid_request", `${name}: is in the query more than once`);
    if (values[0] !== "") query[name] = values[0];
  }
  return query;
}

/** Lists the issues of a request by field; `root` names the request as a whole, `known` lists the fields it may have. */
export function describeIssues({ issues }: z.ZodError, root: string, known: readonly string[] = []): string {
  return issues.map((issue) => `${issue.path.join(".") || root}: ${describeIssue(issue, known)}`).join("; ");
}

function describeIssue(issue: z.core.$ZodIssue, known: readonly string[]): string {
  if (issue.code !== "unrecognized_keys") return issue.message;
  return issue.keys.map((name) =>
    `there is no ${JSON.stringify(name)}${didYouMean(name, known) || `; known are ${known.join(", ")}`}`
  )
    .join(", ");
}

/** Invalid parameters, each as a `Fault` in the format of its API. */
export class ParameterError<Fault> extends HttpError {
  constructor(readonly faults: readonly [Fault, ...Fault[]], message: string) {
    super(422, "invalid_request", message);
  }
}
