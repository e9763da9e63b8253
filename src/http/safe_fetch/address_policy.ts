import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** The ports that web servers have on the public Internet; at others something is asked that may not expect it. */
const PUBLIC_PORTS = new Set([80, 443]);

/** All of IPv6 that is routed on the Internet (RFC 4291, section 2.4); the rest is special or not given out. */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3];

/** IPv4 through a translator (RFC 6052, section 2.1): the last 32 bits are what is reached. */
const NAT64: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("64:ff9b::"), 96];

/** Azure's platform answers its machines under this address, which looks public: instance metadata, certificates. */
const AZURE_PLATFORM = "168.63.129.16";

/** Says to which addresses this server may connect on behalf of others: public ones, and networks of its operator. */
export class AddressPolicy {
  readonly #networks: [Address, number][];

  /**
   * @param networks what may be connected to besides public addresses, at any port; in CIDR notation (RFC 4632, RFC
   * 4291, section 2.3), such as `10.1.0.0/16`.
   * @throws {Error} where one is not in this notation.
   */
  constructor(networks: readonly string[] = []) {
    this.#networks = networks.map((network) => ipaddr.parseCIDR(network));
  }

  /**
   * The address to connect to, in canonical notation, or undefined where that is not allowed. Of an IPv4-mapped address
   * it is the IPv4 address that it stands for.
   * @param text an IPv4 or IPv6 address in any notation.
   */
  permitted(text: string, port: number): string | undefined {
    const address = ipaddr.process(text);
    const named = this.#networks.some(([network, bits]) =>
      network.kind() === address.kind() && address.match(network, bits)
    );
    return named || (PUBLIC_PORTS.has(port) && isPublic(address)) ? address.toString() : undefined;
  }
}

/** Whether an address is a host's on the public Internet, as IANA's registries of special-purpose addresses have it. */
function isPublic(address: Address): boolean {
  if (address instanceof ipaddr.IPv4) return address.range() === "unicast" && address.toString() !== AZURE_PLATFORM;
  if (address.match(NAT64)) return isPublic(new ipaddr.IPv4(address.toByteArray().slice(12)));
  return address.range() === "unicast" && address.match(GLOBAL_UNICAST);
}

/** The address that a URL's host is, if it is no name. The URL parser has brought every notation into one. */
export function literalAddress({ hostname }: URL): string | undefined {
  if (hostname.startsWith("[")) return hostname.slice(1, -1);
  return ipaddr.IPv4.isValidFourPartDecimal(hostname) ? hostname : undefined;
}
