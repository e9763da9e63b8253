export interface DiscardLimits {
  /** The maximum number of bytes to read and discard. */
  maxBytes: number;
  /** How long that may take in total, in milliseconds. */
  timeoutMs: number;
}

/** A client that sends nothing for this long, in milliseconds, is waiting for the response. */
const IDLE_MS = 1000;

/**
 * Reads and discards the rest of a refused request's body before the response is sent. If a server closes a connection
 * while the client is still sending, the client sees a broken connection instead of the response (RFC 9112, section 9.6).
 * Some runtimes, such as Deno 2.5, do not read the rest by themselves.
 *
 * A body is not read if its declared length is over the limit, or if the client waits before it sends the body (`Expect`,
 * RFC 9110, section 10.1.1): the response saves the client the upload.
 * @returns the number of bytes discarded.
 */
export async function discardUnread(request: Request, { maxBytes, timeoutMs }: DiscardLimits): Promise<number> {
  const { body } = request;
  if (body === null || body.locked || request.headers.has("Expect")) return 0;
  if (Number(request.headers.get("Content-Length")) > maxBytes) return 0;
  const reader = body.getReader();
  const deadline = performance.now() + timeoutMs;
  let discarded = 0;
  try {
    while (discarded < maxBytes) {
      const waitMs = Math.min(IDLE_MS, deadline - performance.now());
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, waitMs);
      const chunk = await Promise.race([reader.read(), late]).finally(() => clearTimeout(timer));
      if (!chunk || chunk.done) break;
      discarded += chunk.value.length;
    }
    // Not awaited, because it settles only when the client has stopped sending.
    reader.cancel().catch(() => {});
  } catch {
    // The client has disconnected, and no longer waits for the response.
  } finally {
    reader.releaseLock();
  }
  return discarded;
}
