/** Fetches an image as the server does and prints its length: `fetch_once.ts URL NAME_SERVER_PORT CERTIFICATE`. */
import { AddressPolicy } from "../../src/http/safe_fetch/address_policy.ts";
import { PublicImageFetcher } from "../../src/http/safe_fetch/public_image_fetcher.ts";

const [url, port, certificate] = Deno.args;
const fetcher = new PublicImageFetcher({
  policy: new AddressPolicy(["127.0.0.1/32"]),
  maxBytes: 1_000_000,
  maxPendingBytes: 1_000_000,
  timeoutMs: 60_000,
  nameServer: { ipAddr: "127.0.0.1", port: Number(port) },
  certificateAuthorities: [certificate],
});
console.log((await fetcher.fetch(url)).length);
