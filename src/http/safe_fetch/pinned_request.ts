import http from "node:http";
import https from "node:https";

export interface PinnedRequestOptions {
  /** The IP address to connect to. */
  address: string;
  headers: Record<string, string>;
  signal: AbortSignal;
  /** Certificate authorities to trust instead of the default ones, in PEM. */
  certificateAuthorities?: string[];
}

/**
 * Sends a `GET` request to a given address and resolves when the response's header has arrived. The body is not
 * decompressed. The URL's host name goes into the `Host` header and is checked against the certificate, but is never
 * resolved. (`fetch` can only do this with a proxy of transport `tcp`, and not if `NO_PROXY` lists the name.)
 */
export function getPinned(url: URL, options: PinnedRequestOptions): Promise<http.IncomingMessage> {
  const { address, headers, signal, certificateAuthorities } = options;
  const secure = url.protocol === "https:";
  const name = url.hostname.replace(/\.$/, "");
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const request = (secure ? https : http).request({
    // Otherwise NODE_USE_ENV_PROXY could insert a proxy, which would resolve the name itself.
    agent: new (secure ? https : http).Agent({ proxyEnv: {} }),
    host: address,
    port: portOf(url),
    path: url.pathname + url.search,
    headers: { ...headers, Host: url.host },
    signal,
    // An address is not a server name (RFC 6066, section 3). Without one, the certificate must be for the address.
    ...(secure && !name.startsWith("[") && name !== address && { servername: name }),
    ...(secure && certificateAuthorities && { ca: certificateAuthorities }),
  });
  request.on("response", resolve);
  request.on("error", reject);
  request.end();
  return promise;
}

/** The port of an http or https URL. */
export function portOf({ protocol, port }: URL): number {
  return port !== "" ? Number(port) : protocol === "https:" ? 443 : 80;
}
