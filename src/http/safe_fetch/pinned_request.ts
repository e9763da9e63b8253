import http from "node:http";
import https from "node:https";

export interface PinnedRequestOptions {
  /** The address to connect to. */
  address: string;
  headers: Record<string, string>;
  signal: AbortSignal;
  /** Authorities trusted in the place of the usual ones, in PEM. */
  certificateAuthorities?: string[];
}

/**
 * Sends `GET` to one address and resolves with the head of the answer; the body is not decoded. The URL's host is only
 * written into the request, checked against the certificate, and never resolved. (`fetch` cannot do that: with a proxy of
 * transport `tcp` it can, but not where `NO_PROXY` names the host.)
 */
export function getPinned(url: URL, options: PinnedRequestOptions): Promise<http.IncomingMessage> {
  const { address, headers, signal, certificateAuthorities } = options;
  const secure = url.protocol === "https:";
  const name = url.hostname.replace(/\.$/, "");
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = (secure ? https : http).request({
    // Without this, NODE_USE_ENV_PROXY would put a proxy in between, and that connects to what it likes.
    agent: new (secure ? https : http).Agent({ proxyEnv: {} }),
    host: address,
    port: portOf(url),
    path: url.pathname + url.search,
    headers: { ...headers, Host: url.host },
    signal,
    // RFC 6066, section 3: an address is no server name. Without one, the certificate must be the address's.
    ...(secure && !name.startsWith("[") && name !== address && { servername: name }),
    ...(secure && certificateAuthorities && { ca: certificateAuthorities }),
  });
  request.on("response", resolve);
  request.on("error", reject);
  request.end();
  return promise;
}

export function portOf({ protocol, port }: URL): number {
  return port !== "" ? Number(port) : protocol === "https:" ? 443 : 80;
}
