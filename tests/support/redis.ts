import { createClient } from "redis";

/** How a {@link RedisServer} is started. */
export interface RedisServerOptions {
  /** Default: a random free port. */
  port?: number;
  /** `maxmemory`, such as `"4mb"`. Default: no limit. */
  maxmemory?: string;
  /** `maxmemory-policy`, such as `"allkeys-lru"`. Default: `"noeviction"`. */
  policy?: string;
  /** Further arguments of `redis-server`; they win over the ones above. */
  args?: string[];
}

/** How long a server may take to answer its first PING, in milliseconds. */
const START_DEADLINE = 60_000;

/** How long a server may take to end in good order, in milliseconds. */
const STOP_DEADLINE = 3_000;

/**
 * A real `redis-server` of one test, on 127.0.0.1, that keeps nothing on disk unless told to.
 *
 * @example
 * ```ts
 * await using redis = await RedisServer.start({ maxmemory: "4mb", policy: "allkeys-lru" });
 * const client = await redis.client();
 * ```
 */
export class RedisServer {
  readonly port: number;
  readonly #folder: string;
  readonly #args: string[];
  #process?: Deno.ChildProcess;
  /** Settles when the process is gone; gathers its output, so that its pipes never fill up. */
  #output?: Promise<Deno.CommandOutput>;

  private constructor(port: number, folder: string, args: string[]) {
    this.port = port;
    this.#folder = folder;
    this.#args = args;
  }

  /**
   * Starts a server and waits until it answers.
   *
   * @throws {Error} with the server's own words where it does not come up
   */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const { port = freePort(), maxmemory = "0", policy = "noeviction", args = [] } = options;
    const folder = await Deno.makeTempDir({ prefix: "cutcache-redis-" });
    const server = new RedisServer(port, folder, [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
      // The clock of its housekeeping: at the default of 10 a second every stop would take 100 ms.
      ...["--hz", "100"],
      ...["--maxmemory", maxmemory, "--maxmemory-policy", policy, ...args],
    ]);
    try {
      await server.#launch();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** `redis://127.0.0.1:<port>` */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Ends the server in good order and removes its folder. Does nothing the second time. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    await Deno.remove(this.#folder, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  /** Ends the server at once, as a crash would; {@link restart} brings it back. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends the server if it runs and starts it again on the same port; only what was persisted comes back. */
  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    await this.#launch();
  }

  /** A connected client of this server, which the caller closes. It does not reconnect. */
  async client() {
    const client = createClient({
      url: this.url,
      socket: { reconnectStrategy: false }, // It waits on a timer that nothing can cancel.
    });
    client.on("error", () => {}); // The command under way is rejected as well; without a listener the process ends.
    return await client.connect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #launch(): Promise<void> {
    this.#process = new Deno.Command("redis-server", {
      args: this.#args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#output = this.#process.output();
    let ended = false;
    this.#output.then(() => ended = true);
    const deadline = Date.now() + START_DEADLINE;
    while (!await answers(this.port, this.#process.pid)) {
      if (!ended && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      const { stdout, stderr } = await this.#end("SIGKILL") ?? {};
      const words = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
      throw new Error(`redis-server does not answer on port ${this.port}:\n${words}`);
    }
  }

  async #end(signal: Deno.Signal): Promise<Deno.CommandOutput | undefined> {
    const [process, output] = [this.#process, this.#output];
    this.#process = this.#output = undefined;
    try {
      process?.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // A TypeError says that it has already ended by itself.
    }
    // A server that hangs, in a script without end for instance, does not heed a polite signal.
    const force = setTimeout(() => process?.kill("SIGKILL"), STOP_DEADLINE);
    try {
      return await output;
    } finally {
      clearTimeout(force);
    }
  }
}

/**
 * A free port below the range the system hands out to outgoing connections, so that none of these takes it
 * before the server listens or while the server restarts.
 */
function freePort(): number {
  while (true) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Whether the process itself answers there: on a port that is taken, another server would answer any PING. */
async function answers(port: number, pid: number): Promise<boolean> {
  try {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode("PING\r\nINFO server\r\nQUIT\r\n"));
    const answer = await new Response(connection.readable).text();
    return answer.startsWith("+PONG") && answer.includes(`\nprocess_id:${pid}\r`);
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.ConnectionReset) return false;
    throw error;
  }
}
