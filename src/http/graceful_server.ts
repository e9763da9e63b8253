/** A server stops once no request has come for this time, in milliseconds: clients may just be sending one. */
const QUIET_MS = 100;

/** The time for the last responses to reach the network, in milliseconds. */
const FLUSH_MS = 20;

type Handler = (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Promise<Response>;

/**
 * An HTTP server that loses no request when it stops. `Deno.HttpServer.shutdown` alone does: it can resolve while a handler
 * still runs, and it closes kept-alive connections on which a request is on its way (seen in Deno 2.9.6).
 */
export class GracefulServer {
  readonly address: Deno.NetAddr;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #responses = new Set<Promise<Response>>();
  #closing = false;
  #lastRequest = -Infinity;

  private constructor(server: (handler: Handler) => Deno.HttpServer<Deno.NetAddr>, handler: Handler) {
    this.#server = server((request, info) => this.#track(handler(request, info)));
    this.address = this.#server.addr;
  }

  /** Listens and serves from now on. */
  static listen(options: { hostname: string; port: number }, handler: Handler): GracefulServer {
    return new GracefulServer((handler) => Deno.serve({ ...options, onListen() {} }, handler), handler);
  }

  /**
   * From now on responses end their connections. Clients that keep connections open then open the next one elsewhere,
   * instead of sending a request when this server is gone.
   */
  endConnections(): void {
    this.#closing = true;
  }

  /** Answers all requests, and stops once no further ones come. */
  async stop(): Promise<void> {
    this.endConnections();
    const began = performance.now();
    for (;;) {
      await this.#settled();
      const quietMs = performance.now() - Math.max(began, this.#lastRequest);
      if (quietMs >= QUIET_MS) break;
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS - quietMs));
    }
    await this.#server.shutdown();
    await this.#settled();
    await new Promise((resolve) => setTimeout(resolve, FLUSH_MS));
  }

  async #track(answering: Promise<Response>): Promise<Response> {
    this.#lastRequest = performance.now();
    this.#responses.add(answering);
    try {
      const response = await answering;
      if (this.#closing) response.headers.set("Connection", "close");
      return response;
    } finally {
      this.#responses.delete(answering);
    }
  }

  async #settled(): Promise<void> {
    while (this.#responses.size > 0) await Promise.allSettled(this.#responses);
  }
}
