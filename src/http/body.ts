import { HttpError } from "./errors.ts";
import { joinChunks } from "./join_chunks.ts";

export interface BodyLimits {
  /** The largest body, in bytes. */
  maxBytes: number;
  /** The largest total size of the bodies of all pending requests, in bytes. */
  maxPendingBytes: number;
  /** How long a body may take to arrive, in milliseconds. */
  timeoutMs: number;
}

/** `Retry-After` when too many bytes are pending, in seconds: about the time that a few images take. */
const RETRY_AFTER_SECONDS = 5;

/** In bytes. Up to this size the runtime reads faster than this code, and the extra copy it holds does not matter. */
const SMALL_BODY_BYTES = 1_048_576;

/** Reads request bodies, and limits the memory that all of them take while their requests wait for a worker. */
export class BodyReader {
  readonly #limits: BodyLimits;
  #pendingBytes = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** The sum of all bodies and reservations that have not been disposed of, in bytes. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Reads a body. Its bytes count as pending until it is disposed of.
   * @throws {HttpError} 400 `incomplete_body`, 408 `body_timeout`, 413 `body_too_large`, 415 `unsupported_encoding`,
   * 503 `too_much_pending`.
   */
  async read(request: Request): Promise<RequestBody> {
    const reservation = this.#reservation();
    try {
      return new RequestBody(await this.#readInTime(request, reservation), reservation);
    } catch (error) {
      reservation[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Counts bytes that did not come as a body, such as those of a fetched image, as pending until it is disposed of.
   * @throws {HttpError} 503 `too_much_pending`.
   */
  reserve(bytes: number): Disposable {
    const reservation = this.#reservation();
    try {
      reservation.add(bytes);
      return reservation;
    } catch (error) {
      reservation[Symbol.dispose]();
      throw error;
    }
  }

  #reservation(): Reservation {
    return new Reservation((bytes) => {
      this.#pendingBytes += bytes;
      return this.#pendingBytes <= this.#limits.maxPendingBytes;
    });
  }

  async #readInTime(request: Request, reservation: Reservation): Promise<Uint8Array<ArrayBuffer>> {
    const { timeoutMs } = this.#limits;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(new HttpError(408, "body_timeout", `the body did not arrive within ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      return await Promise.race([this.#read(request, reservation), late.promise]);
    } catch (error) {
      if (error instanceof HttpError) throw error;
      // The connection ended, or the chunks were malformed (RFC 9112, section 7.1).
      throw new HttpError(400, "incomplete_body", "the connection ended before the body was complete");
    } finally {
      clearTimeout(timer);
    }
  }

  /** Reads a large body into one buffer: `arrayBuffer()` holds more than two copies of it. */
  async #read(request: Request, reservation: Reservation): Promise<Uint8Array<ArrayBuffer>> {
    const { maxBytes } = this.#limits;
    const compression = compressionOf(request);
    if (compression !== undefined) return await this.#decompress(request, compression, reservation);
    const declared = Number(request.headers.get("Content-Length") ?? NaN);
    if (declared > maxBytes) throw this.#tooLarge();
    if (declared <= Math.min(SMALL_BODY_BYTES, maxBytes)) {
      const body = new Uint8Array(await request.arrayBuffer());
      reservation.add(body.length);
      return body;
    }
    // Not cancelled when refused: the rest of the body is read before the error is sent (see unread_body.ts).
    const chunks = request.body?.values({ preventCancel: true }) ?? [];
    return await joinChunks(chunks, declared, (bytes, total) => {
      if (total > maxBytes) throw this.#tooLarge();
      reservation.add(bytes);
    });
  }

  /** The limit holds for the decompressed bytes, so that a small body cannot become a huge one. */
  async #decompress(
    request: Request,
    compression: CompressionFormat,
    reservation: Reservation,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { maxBytes } = this.#limits;
    const chunks = request.body?.pipeThrough(new DecompressionStream(compression))
      .values({ preventCancel: true }) ?? [];
    return await joinChunks(chunks, NaN, (bytes, total) => {
      if (total > maxBytes) throw this.#tooLarge();
      reservation.add(bytes);
    }).catch((error) => {
      if (!(error instanceof TypeError)) throw error;
      throw new HttpError(400, "incomplete_body", `the body is not complete ${compression} data`);
    });
  }

  #tooLarge(): HttpError {
    return new HttpError(413, "body_too_large", `the body is larger than the limit of ${this.#limits.maxBytes} bytes`);
  }
}

/** Content codings (RFC 9110, section 8.4.1) with the runtime's names of their formats. */
const CODINGS: Readonly<Record<string, CompressionFormat | undefined>> = {
  "": undefined,
  "identity": undefined,
  "gzip": "gzip",
  "x-gzip": "gzip",
  "deflate": "deflate",
};

/** @throws {HttpError} 415 `unsupported_encoding` */
function compressionOf({ headers }: Request): CompressionFormat | undefined {
  const coding = (headers.get("Content-Encoding") ?? "").trim().toLowerCase();
  if (Object.hasOwn(CODINGS, coding)) return CODINGS[coding];
  throw new HttpError(
    415,
    "unsupported_encoding",
    `unsupported Content-Encoding ${
      JSON.stringify(coding.slice(0, 40))
    }; send the body as it is, or as gzip or deflate`,
    { "Accept-Encoding": "gzip, deflate" },
  );
}

/** The body of one request. */
export class RequestBody implements Disposable {
  #bytes?: Uint8Array<ArrayBuffer>;
  readonly #reservation: Disposable;

  constructor(bytes: Uint8Array<ArrayBuffer>, reservation: Disposable) {
    this.#bytes = bytes;
    this.#reservation = reservation;
  }

  /** Hands over the bytes, once, so that they can be collected before the request ends, as soon as the caller drops them. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes;
    if (bytes === undefined) throw new Error("the body has been taken already");
    this.#bytes = undefined;
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#bytes = undefined;
    this.#reservation[Symbol.dispose]();
  }
}

/** A share of the bytes that may be pending. */
class Reservation implements Disposable {
  readonly #count: (bytes: number) => boolean;
  #bytes = 0;
  #disposed = false;

  /** @param count adds to the sum of all reservations, and returns whether that is within the limit. */
  constructor(count: (bytes: number) => boolean) {
    this.#count = count;
  }

  add(bytes: number): void {
    // The request was answered without waiting for the rest of its body.
    if (this.#disposed) throw new HttpError(408, "body_timeout", "the request has been answered");
    this.#bytes += bytes;
    if (this.#count(bytes)) return;
    throw new HttpError(503, "too_much_pending", "too many uploads are pending", {
      "Retry-After": `${RETRY_AFTER_SECONDS}`,
    });
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#count(-this.#bytes);
    this.#bytes = 0;
  }
}
