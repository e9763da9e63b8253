import { HttpError } from "./errors.ts";
import { joinChunks } from "./join_chunks.ts";

export interface BodyLimits {
  /** The most bytes of one body. */
  maxBytes: number;
  /** The most bytes of all bodies together whose requests have not been answered. */
  maxPendingBytes: number;
  /** How long a body may take to arrive, in milliseconds. */
  timeoutMs: number;
}

/** What a request has of its body. */
interface Account {
  bytes: number;
  /** Set once the request has been answered without waiting for the rest. */
  refusal?: HttpError;
}

/** When to come again where too much is under way, in seconds: a few images' worth. */
const RETRY_AFTER_SECONDS = 5;

/** Up to here, in bytes, the runtime's own reading is quicker, and what it holds twice for a moment does not matter. */
const SMALL = 1_048_576;

/** Reads request bodies, and bounds what they take in memory together while their requests wait for a worker. */
export class BodyReader {
  readonly #limits: BodyLimits;
  #pendingBytes = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Received bytes of the requests under way. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Reads a body and works on what `parse` makes of it. The body itself is let go before `work` begins; its bytes count
   * as pending until `work` has ended.
   * @throws {HttpError} 400 `incomplete_body`, 408 `body_timeout`, 413 `body_too_large`, 503 `too_much_pending`.
   */
  async take<Parsed, Result>(
    request: Request,
    parse: (body: Uint8Array<ArrayBuffer>) => Parsed | Promise<Parsed>,
    work: (parsed: Parsed) => Promise<Result>,
  ): Promise<Result> {
    const account: Account = { bytes: 0 };
    try {
      return await work(await this.#readInTime(request, account).then(parse));
    } finally {
      this.#pendingBytes -= account.bytes;
    }
  }

  /**
   * Counts bytes that came otherwise than as a body, such as those of a fetched image, as pending until `work` has ended.
   * @throws {HttpError} 503 `too_much_pending`.
   */
  async hold<Result>(bytes: number, work: () => Promise<Result>): Promise<Result> {
    const account: Account = { bytes: 0 };
    try {
      this.#count(account, bytes);
      return await work();
    } finally {
      this.#pendingBytes -= account.bytes;
    }
  }

  async #readInTime(request: Request, account: Account): Promise<Uint8Array<ArrayBuffer>> {
    const { timeoutMs } = this.#limits;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const message = `the body has not arrived within ${timeoutMs} ms`;
      account.refusal = new HttpError(408, "body_timeout", message);
      late.reject(account.refusal);
    }, timeoutMs);
    try {
      return await Promise.race([this.#read(request, account), late.promise]);
    } catch (error) {
      if (error instanceof HttpError) throw error;
      // The connection ended, or what came over it was no body (RFC 9112, section 7.1).
      throw new HttpError(400, "incomplete_body", "the body ended before its end");
    } finally {
      clearTimeout(timer);
    }
  }

  /** A large one is joined here: `arrayBuffer()` has it in memory twice and more. */
  async #read(request: Request, account: Account): Promise<Uint8Array<ArrayBuffer>> {
    const declared = Number(request.headers.get("Content-Length") ?? NaN);
    if (declared > this.#limits.maxBytes) throw this.#tooLarge();
    if (declared <= Math.min(SMALL, this.#limits.maxBytes)) {
      const body = new Uint8Array(await request.arrayBuffer());
      this.#count(account, body.length);
      return body;
    }
    // Not cancelled where it is refused: what has not been read of it is read all the same before the answer is sent.
    const chunks = request.body?.values({ preventCancel: true }) ?? [];
    return await joinChunks(chunks, declared, (bytes, total) => {
      if (total > this.#limits.maxBytes) throw this.#tooLarge();
      this.#count(account, bytes);
    });
  }

  #count(account: Account, bytes: number): void {
    if (account.refusal) throw account.refusal;
    account.bytes += bytes;
    this.#pendingBytes += bytes;
    if (this.#pendingBytes <= this.#limits.maxPendingBytes) return;
    throw new HttpError(503, "too_much_pending", "too many bytes of other requests wait to be worked on", {
      "Retry-After": `${RETRY_AFTER_SECONDS}`,
    });
  }

  #tooLarge(): HttpError {
    const { maxBytes } = this.#limits;
    return new HttpError(413, "body_too_large", `the body is larger than ${maxBytes} bytes, the most that is taken`);
  }
}
