import { decode, encode, RECURSION_AVAILABLE, RECURSION_DESIRED } from "dns-packet";
import { createSocket, type Socket } from "node:dgram";

/** For each name, a function that returns its addresses for a query. */
type Zone = Record<string, () => string[]>;

/** A DNS server (RFC 1035) on a free UDP port of 127.0.0.1. Its answers must not be cached (TTL 0). */
export class NameServer {
  /** The names that were looked up. The query for IPv6 addresses of the same lookup does not count. */
  readonly lookups: string[] = [];
  readonly #socket: Socket = createSocket("udp4");
  readonly #zone: Zone;

  private constructor(zone: Zone) {
    this.#zone = zone;
  }

  static async start(zone: Zone): Promise<NameServer> {
    const server = new NameServer(zone);
    const { promise, resolve } = Promise.withResolvers<void>();
    server.#socket.on("message", (message, sender) => {
      const answer = server.#answer(message);
      server.#socket.send(answer, sender.port, sender.address);
    });
    server.#socket.bind(0, "127.0.0.1", resolve);
    await promise;
    return server;
  }

  get address(): { ipAddr: string; port: number } {
    return { ipAddr: "127.0.0.1", port: this.#socket.address().port };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #answer(message: Uint8Array): Uint8Array {
    const { id, questions = [] } = decode(message as Parameters<typeof decode>[0]);
    const [{ name, type }] = questions;
    // Each lookup sends a query for IPv4 and one for IPv6 addresses.
    if (type === "A") this.lookups.push(name);
    const addresses = type === "A" ? this.#zone[name]?.() ?? [] : [];
    return encode({
      type: "response",
      id,
      flags: RECURSION_DESIRED | RECURSION_AVAILABLE,
      questions,
      answers: addresses.map((data) => ({ type: "A", name, ttl: 0, data })),
    });
  }
}
