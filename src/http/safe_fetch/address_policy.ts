import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** The ports of web servers on the public Internet. Services at other ports may not expect HTTP requests. */
const PUBLIC_PORTS = new Set([80, 443]);

/** The IPv6 addresses that are routed on the Internet (RFC 4291, section 2.4). All others are special or unassigned. */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3];

/** IPv4 through a translator (RFC 6052, section 2.1): the last 32 bits are the IPv4 address. */
const NAT64: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("64:ff9b::"), 96];

/** This address looks public, but Azure serves instance metadata and certificates at it to its own machines. */
const AZURE_PLATFORM = "168.63.129.16";

/** Decides to which addresses this server may connect for its clients: public ones, and the operator's networks. */
export class AddressPolicy {
  readonly #networks: [Address, number][];

  /**
   * @param networks the networks that are permitted in addition to public addresses, at any port, in CIDR notation (RFC
   *   4632; RFC 4291, section 2.3), such as `10.1.0.0/16`.
   * @throws {Error} if a network is not in this notation.
   */
  constructor(networks: readonly string[] = []) {
    this.#networks = networks.map((network) => ipaddr.parseCIDR(network));
  }

  /**
   * The address to connect to, in canonical notation, or undefined if that is not permitted. An IPv4-mapped address
   * becomes its IPv4 address.
   * @param text an IPv4 or IPv6 address in any notation.
   */
  permitted(text: string, port: number): string | undefined {
    const address = ipaddr.process(text);
    const inNetworks = this.#networks.some(([network, bits]) =>
      network.kind() === address.kind() && address.match(network, bits)
    );
    return inNetworks || (PUBLIC_PORTS.has(port) && isPublic(address)) ? address.toString() : undefined;
  }
}

/** Whether an address is public unicast, according to IANA's registries of special-purpose addresses. */
function isPublic(address: Address): boolean {
  if (address instanceof ipaddr.IPv4) return address.range() === "unicast" && address.toString() !== AZURE_PLATFORM;
  if (address.match(NAT64)) return isPublic(new ipaddr.IPv4(address.toByteArray().slice(12)));
  return address.range() === "unicast" && address.match(GLOBAL_UNICAST);
}

/** The address in a URL; undefined if the URL has a name. The URL parser has already normalised every notation. */
export function literalAddress({ hostname }: URL): string | undefined {
  if (hostname.startsWith("[")) return hostname.slice(1, -1);
  return ipaddr.IPv4.isValidFourPartDecimal(hostname) ? hostname : undefined;
}
