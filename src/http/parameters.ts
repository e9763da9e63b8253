import type { z } from "zod";
import { type ImageId, isImageId } from "../cache/keys.ts";
import { HttpError } from "./errors.ts";

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
