/** One request that a host has got. */
export interface SeenRequest {
  url: string;
  headers: Headers;
}

export interface ImageHostOptions {
  /** One of 127.0.0.0/8. Default: 127.0.0.1. */
  hostname?: string;
  /** Default: a free one. */
  port?: number;
  /** Certificate and key in PEM: it then speaks TLS. */
  tls?: { cert: string; key: string };
}

/** A web server of a test, and what it was asked. */
export class ImageHost {
  readonly requests: SeenRequest[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answer: (request: Request) => Response | Promise<Response>, options: ImageHostOptions = {}) {
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

/** A port of 127.0.0.1 where nothing listens, and nothing can begin to for as long as it is kept. */
export class ClosedPort implements Disposable {
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #connection: Deno.TcpConn;

  private constructor(listener: Deno.TcpListener, connection: Deno.TcpConn) {
    this.#listener = listener;
    this.#connection = connection;
    this.port = connection.localAddr.port;
  }

  /** The near end of a connection has a port that nobody else is given. */
  static async keep(): Promise<ClosedPort> {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return new ClosedPort(listener, await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }));
  }

  [Symbol.dispose](): void {
    this.#connection.close();
    this.#listener.close();
  }
}

/** A host that writes what it is told, be it HTTP or not, and counts connections rather than requests. */
export class RawHost {
  connections = 0;
  /** Settles when a connection was closed from the other side. */
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
        } catch { /* the other side has gone */ }
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
