import { decode, encode, RECURSION_AVAILABLE, RECURSION_DESIRED } from "dns-packet";
import { createSocket, type Socket } from "node:dgram";

/** The addresses of a name, for each question anew. */
type Zone = Record<string, () => string[]>;

/** A DNS server (RFC 1035) on a free UDP port of 127.0.0.1, with answers that nobody may keep. */
export class NameServer {
  /** The names that were asked for, a question for IPv6 addresses not counted. */
  readonly asked: string[] = [];
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
    // IPv6 addresses are asked for beside the others, so only the question for those counts as a new one.
    if (type === "A") this.asked.push(name);
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
