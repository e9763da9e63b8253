export interface DiscardLimits {
  /** The most bytes that are read to be discarded. */
  maxBytes: number;
  /** The longest that reading them may take in all, in milliseconds. */
  timeoutMs: number;
}

/** Whoever sends nothing for so long, in milliseconds, waits for an answer. */
const IDLE_MS = 1000;

/**
 * Reads what has not been read of a refused request's body, and lets it go, before the answer is sent. Where a server
 * closes while its client is still sending, the client gets a broken connection in place of the answer (RFC 9112, section
 * 9.6): so do runtimes that do not read on by themselves, such as Deno 2.5.
 *
 * Nothing is read of a body that is known to be beyond the limits, or that waits to be asked for (`Expect`, RFC 9110,
 * section 10.1.1): the answer spares its sender the upload.
 * @returns how many bytes were discarded.
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
      const patience = Math.min(IDLE_MS, deadline - performance.now());
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, patience);
      const piece = await Promise.race([reader.read(), late]).finally(() => clearTimeout(timer));
      if (!piece || piece.done) break;
      discarded += piece.value.length;
    }
    // Not waited for: it ends when the sender does.
    reader.cancel().catch(() => {});
  } catch {
    // The sender has gone: nobody waits for the answer either.
  } finally {
    reader.releaseLock();
  }
  return discarded;
}
