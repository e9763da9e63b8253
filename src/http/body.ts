import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HttpError } from "./errors.ts";

/** Refuses bodies over `maxBytes`, by their declared length where there is one, else while they are read. */
export function limitBody(maxBytes: number): MiddlewareHandler {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw new HttpError(413, "body_too_large", `the body is larger than ${maxBytes} bytes, the most that is taken`);
    },
  });
}
