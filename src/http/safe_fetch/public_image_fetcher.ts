import type { IncomingMessage } from "node:http";
import { type AddressPolicy, literalAddress } from "./address_policy.ts";
import { HttpError } from "../errors.ts";
import type { ImageFetcher } from "./fetch_image.ts";
import { joinChunks } from "../join_chunks.ts";
import { getPinned, portOf } from "./pinned_request.ts";

export interface PublicImageFetcherOptions {
  policy: AddressPolicy;
  /** The maximum size of an image, in bytes. */
  maxBytes: number;
  /** The maximum size of all images that are being fetched, together, in bytes. */
  maxPendingBytes: number;
  /** How long a fetch may take, from the first name lookup to the last byte, with redirects, in milliseconds. */
  timeoutMs: number;
  /** The DNS server to use. Default: the system's. */
  nameServer?: Deno.ResolveDnsOptions["nameServer"];
  /** Certificate authorities to trust instead of the default ones, in PEM. */
  certificateAuthorities?: string[];
}

const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** In characters: the minimum that servers should support (RFC 9110, section 4.1). */
const MAX_URL_LENGTH = 8000;

/** When to retry after 503 `too_much_pending`, in seconds. */
const RETRY_AFTER_SECONDS = 5;

/** Nothing about the client: no credentials, no cookies, no referrer. */
const HEADERS = { "Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "Cutcache" };

/**
 * Fetches images over HTTP from servers that the policy permits, which are public unless the operator permits more. A name
 * is resolved once per HTTP request, all of its addresses must be permitted, and the connection goes to one of these
 * addresses: if the name resolves differently a moment later (DNS rebinding), that has no effect. Error messages do not
 * reveal to which address a name resolves.
 */
export class PublicImageFetcher implements ImageFetcher {
  readonly #options: PublicImageFetcherOptions;
  #pendingBytes = 0;

  constructor(options: PublicImageFetcherOptions) {
    this.#options = options;
  }

  /** The bytes received so far of the images that are being fetched. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * @throws {HttpError} 422 `invalid_image_url`, 403 `image_url_refused`, 413 `image_url_too_large`, 502
   *   `image_url_failed`, 503 `too_much_pending`, 504 `image_url_timeout`.
   * @throws {DOMException} `AbortError` if `signal` was aborted.
   */
  async fetch(url: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const first = parseUrl(url);
    const { timeoutMs } = this.#options;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), timeoutMs);
    const combined = signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, signal]);
    try {
      return await this.#follow(first, combined);
    } catch (error) {
      if (signal?.aborted) throw new DOMException("the request was cancelled", "AbortError");
      if (deadline.signal.aborted) {
        throw new HttpError(504, "image_url_timeout", `the image did not arrive within ${timeoutMs} ms`);
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #follow(first: URL, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    let url = first;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await this.#request(url, signal);
      try {
        const { statusCode, headers: { location } } = response;
        if (!REDIRECTS.has(statusCode!) || location === undefined) return await this.#read(response, signal);
        url = parseRedirect(location, url);
      } finally {
        // Closes the connection, even if the body was not read to its end.
        response.destroy();
      }
    }
    throw failed(`the image server redirects more than ${MAX_REDIRECTS} times`);
  }

  async #request(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const { certificateAuthorities } = this.#options;
    for (const address of await this.#permittedAddresses(url, signal)) {
      try {
        return await getPinned(url, { address, headers: HEADERS, signal, certificateAuthorities });
      } catch {
        // The cause stays private: it would reveal which ports of a server are open.
        signal.throwIfAborted();
      }
    }
    throw failed("cannot connect to the image server, or it does not speak HTTP");
  }

  /**
   * All addresses of the URL's host, at least one.
   * @throws {HttpError} 403 `image_url_refused` if any of them is not permitted; 502 `image_url_failed`.
   */
  async #permittedAddresses(url: URL, signal: AbortSignal): Promise<string[]> {
    const literal = literalAddress(url);
    const addresses = literal === undefined ? await this.#resolve(url.hostname, signal) : [literal];
    const port = portOf(url);
    return addresses.map((address) => {
      const permitted = this.#options.policy.permitted(address, port);
      if (permitted !== undefined) return permitted;
      throw refused(
        "the image URL leads to an address or port that this server does not connect to: all addresses of the image " +
          "server must be public, and its port must be 80 or 443",
      );
    });
  }

  /** IPv4 first, because connecting over IPv6 from a network without it can use up the timeout. */
  async #resolve(name: string, signal: AbortSignal): Promise<string[]> {
    const { nameServer } = this.#options;
    try {
      const answers = await Promise.all((["A", "AAAA"] as const).map(async (type) => {
        try {
          return await Deno.resolveDns(name, type, { nameServer, signal });
        } catch (error) {
          if (error instanceof Deno.errors.NotFound) return [];
          throw error;
        }
      }));
      const addresses = answers.flat();
      if (addresses.length > 0) return addresses;
    } catch {
      signal.throwIfAborted();
    }
    throw failed("the name of the image server cannot be resolved");
  }

  async #read(response: IncomingMessage, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const { statusCode, headers } = response;
    if (statusCode! < 200 || statusCode! > 299) throw failed(`the image server responded with status ${statusCode}`);
    const encoding = headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") throw failed("the image server sent the image compressed, which was not requested");
    const declared = Number(headers["content-length"] ?? NaN);
    if (declared > this.#options.maxBytes) throw this.#tooLarge();

    let body: Uint8Array<ArrayBuffer>;
    let counted = 0;
    try {
      body = await joinChunks(response, declared, (bytes, total) => {
        if (total > this.#options.maxBytes) throw this.#tooLarge();
        this.#pendingBytes += bytes;
        counted = total;
        if (this.#pendingBytes > this.#options.maxPendingBytes) throw tooMuchPending();
      });
    } catch (error) {
      if (error instanceof HttpError) throw error;
      throw failed("the image server closed the connection before the end of the image");
    } finally {
      this.#pendingBytes -= counted;
    }
    // A body without a declared length ends with the connection, so an aborted one looks complete.
    signal.throwIfAborted();
    if (body.length === 0) throw failed("the image server sent nothing");
    if (body.length < declared) throw failed("the image server closed the connection before the end of the image");
    return body;
  }

  #tooLarge(): HttpError {
    const { maxBytes } = this.#options;
    return new HttpError(
      413,
      "image_url_too_large",
      `the image is larger than the limit of ${maxBytes} bytes`,
    );
  }
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  const problem = problemWith(text, url);
  if (problem === undefined) return url!;
  throw new HttpError(422, "invalid_image_url", `the image URL ${problem}`);
}

/** Refuses redirects from https to http, which would answer a request for https without encryption. */
function parseRedirect(location: string, from: URL): URL {
  const url = URL.parse(location, from);
  const problem = problemWith(location, url) ??
    (from.protocol === "https:" && url!.protocol === "http:" ? "changes https to http" : undefined);
  if (problem === undefined) return url!;
  throw refused(`the image server redirects to a URL that ${problem}`);
}

/** Completes a sentence that begins with "the URL". Never undefined if `url` is null. */
function problemWith(text: string, url: URL | null): string | undefined {
  if (text.length > MAX_URL_LENGTH) return `has more than ${MAX_URL_LENGTH} characters`;
  if (url === null) return "is invalid; send one such as https://example.com/photo.jpg";
  if (url.protocol !== "http:" && url.protocol !== "https:") return "is neither http nor https";
  if (url.username !== "" || url.password !== "") return "has a user name or password, which are not allowed";
}

function failed(message: string): HttpError {
  return new HttpError(502, "image_url_failed", message);
}

function refused(message: string): HttpError {
  return new HttpError(403, "image_url_refused", message);
}

function tooMuchPending(): HttpError {
  return new HttpError(503, "too_much_pending", "too many images are being fetched", {
    "Retry-After": `${RETRY_AFTER_SECONDS}`,
  });
}
