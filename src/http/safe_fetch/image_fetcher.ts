import type { IncomingMessage } from "node:http";
import { type AddressPolicy, literalAddress } from "./address_policy.ts";
import { HttpError } from "../errors.ts";
import type { ImageFetcher } from "./fetch_image.ts";
import { joinChunks } from "../join_chunks.ts";
import { getPinned, portOf } from "./pinned_request.ts";

export interface PublicImageFetcherOptions {
  policy: AddressPolicy;
  /** The most bytes of one image. */
  maxBytes: number;
  /** The most bytes of all images together that are being fetched. */
  maxPendingBytes: number;
  /** How long it may take from the first name to the last byte, redirects included, in milliseconds. */
  timeoutMs: number;
  /** Who is asked for the addresses of names. Default: whom the system asks. */
  nameServer?: Deno.ResolveDnsOptions["nameServer"];
  /** Authorities trusted in the place of the usual ones, in PEM. */
  certificateAuthorities?: string[];
}

const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** In characters; what a server should understand at least (RFC 9110, section 4.1). */
const MAX_URL_LENGTH = 8000;

/** When to come again where too much is under way, in seconds. */
const RETRY_AFTER_SECONDS = 5;

/** Nothing of who asks: no credentials, no cookies, no referrer. */
const HEADERS = { "Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "Cutcache" };

/**
 * Fetches images over HTTP from hosts that the policy allows. A name's addresses are asked for once for each request, all
 * of them must be allowed, and the connection goes to one of those that were checked: what the name means a moment later
 * does not matter. Messages do not say to what a name resolves.
 */
export class PublicImageFetcher implements ImageFetcher {
  readonly #options: PublicImageFetcherOptions;
  #pendingBytes = 0;

  constructor(options: PublicImageFetcherOptions) {
    this.#options = options;
  }

  /** Received bytes of the images that are being fetched. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * @throws {HttpError} 422 `invalid_image_url`, 403 `image_url_refused`, 413 `image_url_too_large`, 502
   *   `image_url_failed`, 503 `too_much_pending`, 504 `image_url_timeout`.
   * @throws {DOMException} `AbortError` where `signal` said so.
   */
  async fetch(url: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const first = parseUrl(url);
    const { timeoutMs } = this.#options;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), timeoutMs);
    const either = signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, signal]);
    try {
      return await this.#follow(first, either);
    } catch (error) {
      if (signal?.aborted) throw new DOMException("the request was given up", "AbortError");
      if (deadline.signal.aborted) {
        throw new HttpError(504, "image_url_timeout", `the image did not come within ${timeoutMs} ms`);
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
        // Closes the connection, wherever reading has stopped.
        response.destroy();
      }
    }
    throw failed(`the image's host redirects more than ${MAX_REDIRECTS} times`);
  }

  async #request(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const { certificateAuthorities } = this.#options;
    for (const address of await this.#permittedAddresses(url, signal)) {
      try {
        return await getPinned(url, { address, headers: HEADERS, signal, certificateAuthorities });
      } catch {
        // Its cause is not told: it would say which ports of a host are open.
        signal.throwIfAborted();
      }
    }
    throw failed("the image's host cannot be connected to, or does not answer in HTTP");
  }

  /** Never empty. */
  async #permittedAddresses(url: URL, signal: AbortSignal): Promise<string[]> {
    const literal = literalAddress(url);
    const addresses = literal === undefined ? await this.#resolve(url.hostname, signal) : [literal];
    const port = portOf(url);
    return addresses.map((address) => {
      const permitted = this.#options.policy.permitted(address, port);
      if (permitted !== undefined) return permitted;
      throw refused(
        "the image's address leads to a host or a port that this server does not connect to: it must be on the public " +
          "Internet with all of its addresses, at port 80 or 443",
      );
    });
  }

  /** IPv4 first: where there is no IPv6, that is seen at once; the other way round it may take the whole time. */
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
    throw failed("the name of the image's host cannot be resolved");
  }

  async #read(response: IncomingMessage, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const { statusCode, headers } = response;
    if (statusCode! < 200 || statusCode! > 299) throw failed(`the image's host answers with status ${statusCode}`);
    const encoding = headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") throw failed("the image's host sends it compressed, though that was not asked for");
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
      throw failed("the image's host broke off before its end");
    } finally {
      this.#pendingBytes -= counted;
    }
    // A body without a declared length ends when the connection does, and giving it up looks like its end.
    signal.throwIfAborted();
    if (body.length === 0) throw failed("the image's host sends nothing");
    if (body.length < declared) throw failed("the image's host broke off before its end");
    return body;
  }

  #tooLarge(): HttpError {
    const { maxBytes } = this.#options;
    return new HttpError(
      413,
      "image_url_too_large",
      `the image is larger than ${maxBytes} bytes, the most that is taken`,
    );
  }
}

function parseUrl(text: string): URL {
  const wrong = wrongWith(text, URL.parse(text));
  if (wrong === undefined) return new URL(text);
  throw new HttpError(422, "invalid_image_url", `the image's address ${wrong}`);
}

/** A redirect may leave http for https, but not the other way: who asked for https would be answered over http. */
function parseRedirect(location: string, from: URL): URL {
  const url = URL.parse(location, from);
  const wrong = wrongWith(location, url) ??
    (from.protocol === "https:" && url!.protocol === "http:" ? "leaves https for http" : undefined);
  if (wrong === undefined) return url!;
  throw refused(`the image's host redirects to an address that ${wrong}`);
}

function wrongWith(text: string, url: URL | null): string | undefined {
  if (text.length > MAX_URL_LENGTH) return `has more than ${MAX_URL_LENGTH} characters`;
  if (url === null) return "is no URL; send one such as https://example.com/photo.jpg";
  if (url.protocol !== "http:" && url.protocol !== "https:") return "is not one of http or https";
  if (url.username !== "" || url.password !== "") return "has a user name or password in it; none is sent on";
}

function failed(message: string): HttpError {
  return new HttpError(502, "image_url_failed", message);
}

function refused(message: string): HttpError {
  return new HttpError(403, "image_url_refused", message);
}

function tooMuchPending(): HttpError {
  return new HttpError(503, "too_much_pending", "too many bytes of other images are being fetched", {
    "Retry-After": `${RETRY_AFTER_SECONDS}`,
  });
}
