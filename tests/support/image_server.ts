/** A request that an {@link ImageServer} received. */
export interface ReceivedRequest {
  url: string;
  headers: Headers;
}

export interface ImageServerOptions {
  /** An address of 127.0.0.0/8. Default: 127.0.0.1. */
  hostname?: string;
  /** Default: a free port. */
  port?: number;
  /** Certificate and key in PEM. With them, the server speaks TLS. */
  tls?: { cert: string; key: string };
}

/** A web server for a test, which records the requests that it receives. */
export class ImageServer {
  readonly requests: ReceivedRequest[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answer: (request: Request) => Response | Promise<Response>, options: ImageServerOptions = {}) {
    const { hostname = "127.0.0.1", port = 0, tls = {} } = options;
    this.#server = Deno.serve({ hostname, port, ...tls, onListen: () => {} }, (request) => {
      this.requests.push({ url: request.url, headers: request.headers });
      return answer(request);
    });
  }

  get port(): number {
    return this.#server.addr.port;
  }

  get url(): string {
    return `http://${this.#server.addr.hostname}:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** A port of 127.0.0.1 where nothing listens. Until it is disposed of, no other process can take it. */
export class ClosedPort implements Disposable {
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #connection: Deno.TcpConn;

  private constructor(listener: Deno.TcpListener, connection: Deno.TcpConn) {
    this.#listener = listener;
    this.#connection = connection;
    this.port = connection.localAddr.port;
  }

  /** Opens a connection: the system gives its local port to no one else. */
  static async keep(): Promise<ClosedPort> {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return new ClosedPort(listener, await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }));
  }

  [Symbol.dispose](): void {
    this.#connection.close();
    this.#listener.close();
  }
}

/** A TCP server that answers every connection with the same text, HTTP or not, and counts connections. */
export class RawServer {
  connections = 0;
  /** Resolves when a connection has ended. */
  readonly closed: Promise<void>;
  readonly #listener: Deno.TcpListener;
  readonly #serving: Promise<void>;

  constructor(text = "", { hostname = "127.0.0.1", port = 0, end = true } = {}) {
    const listener = this.#listener = Deno.listen({ hostname, port });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#serving = (async () => {
      for await (const connection of listener) {
        this.connections++;
        try {
          await connection.read(new Uint8Array(4096));
          await connection.write(new TextEncoder().encode(text));
          if (!end) { while (await connection.read(new Uint8Array(4096)) !== null); }
        } catch { /* The client has disconnected. */ }
        connection.close();
        resolve();
      }
    })();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving.catch(() => {});
  }
}
