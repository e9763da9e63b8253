import type { ErrorCode, StatusOf } from "../base/errors.ts";

/** A request that cannot be served. `message` tells the sender what was wrong and what would be right. */
export class HttpError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "HttpError";
  constructor(
    readonly status: StatusOf<Code>,
    readonly code: Code,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}
