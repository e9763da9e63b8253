import { HttpError } from "./errors.ts";

export interface BodyLimits {
  /** The most bytes of one body. */
  maxBytes: number;
  /** The most bytes of all bodies together whose requests have not been answered. */
  maxPendingBytes: number;
}

/** When to come again where too much is under way, in seconds: a few images' worth. */
const RETRY_AFTER_SECONDS = 5;

/** Up to here, in bytes, the runtime's own reading is quicker, and what it holds twice for a moment does not matter. */
const SMALL = 1_048_576;

/** Reads request bodies, and bounds what they take in memory together while their requests wait for a worker. */
export class BodyIntake {
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
   * @throws {HttpError} 413 `body_too_large`, 503 `too_much_pending`.
   */
  async take<Parsed, Result>(
    request: Request,
    parse: (body: Uint8Array<ArrayBuffer>) => Parsed | Promise<Parsed>,
    work: (parsed: Parsed) => Promise<Result>,
  ): Promise<Result> {
    const account = { bytes: 0 };
    try {
      return await work(await this.#read(request, account).then(parse));
    } finally {
      this.#pendingBytes -= account.bytes;
    }
  }

  /** A large one goes into a buffer of its declared length: `arrayBuffer()` has it in memory twice and more. */
  async #read(request: Request, account: { bytes: number }): Promise<Uint8Array<ArrayBuffer>> {
    const declared = Number(request.headers.get("Content-Length") ?? NaN);
    if (declared > this.#limits.maxBytes) throw this.#tooLarge();
    if (declared <= Math.min(SMALL, this.#limits.maxBytes)) {
      const body = new Uint8Array(await request.arrayBuffer());
      this.#count(account, body.length);
      return body;
    }
    let body = new Uint8Array(Number.isSafeInteger(declared) ? declared : 65_536);
    let length = 0;
    for await (const chunk of request.body ?? []) {
      if (length + chunk.length > this.#limits.maxBytes) throw this.#tooLarge();
      this.#count(account, chunk.length);
      if (length + chunk.length > body.length) {
        body = new Uint8Array(body.buffer.transfer(Math.max(2 * body.length, length + chunk.length)));
      }
      body.set(chunk, length);
      length += chunk.length;
    }
    return body.subarray(0, length);
  }

  #count(account: { bytes: number }, bytes: number): void {
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
