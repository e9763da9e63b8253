import { createClient } from "redis";

/** Options for starting a {@link RedisServer}. */
export interface RedisServerOptions {
  /** Default: a random free port. */
  port?: number;
  /** `maxmemory`, such as `"4mb"`. Default: no limit. */
  maxmemory?: string;
  /** `maxmemory-policy`, such as `"allkeys-lru"`. Default: `"noeviction"`. */
  policy?: string;
  /** More arguments of `redis-server`, which override the options above. */
  args?: string[];
}

/** How long a server may take to answer its first PING, in milliseconds. */
const START_TIMEOUT_MS = 60_000;

/** How long a server may take to shut down cleanly, in milliseconds. */
const STOP_TIMEOUT_MS = 3_000;

/**
 * A real `redis-server` for one test, on 127.0.0.1. By default it keeps nothing on disk.
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
  /** Settles when the process has ended. It collects the output, so that the pipes never fill up. */
  #output?: Promise<Deno.CommandOutput>;

  private constructor(port: number, folder: string, args: string[]) {
    this.port = port;
    this.#folder = folder;
    this.#args = args;
  }

  /**
   * Starts a server and waits until it answers.
   *
   * @throws {Error} with the server's output if it does not start
   */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const { port = freePort(), maxmemory = "0", policy = "noeviction", args = [] } = options;
    const folder = await Deno.makeTempDir({ prefix: "cutcache-redis-" });
    const server = new RedisServer(port, folder, [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
      // Runs housekeeping 100 times a second. At the default of 10, every stop would take 100 ms.
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

  /** Shuts the server down cleanly and removes its folder. Does nothing the second time. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    await Deno.remove(this.#folder, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  /** Kills the server, as a crash would; {@link restart} starts it again. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops the server if it runs and starts it again on the same port. Only persisted data survives. */
  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    await this.#launch();
  }

  /** Connects a client to this server. The caller closes it. It does not reconnect. */
  async client() {
    const client = createClient({
      url: this.url,
      socket: { reconnectStrategy: false }, // Reconnecting waits on a timer that nothing can cancel.
    });
    client.on("error", () => {}); // Without a listener the process would end. The pending command rejects anyway.
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
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!await answers(this.port, this.#process.pid)) {
      if (!ended && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      const { stdout, stderr } = await this.#end("SIGKILL") ?? {};
      const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
      throw new Error(`redis-server does not answer on port ${this.port}:\n${output}`);
    }
  }

  async #end(signal: Deno.Signal): Promise<Deno.CommandOutput | undefined> {
    const [process, output] = [this.#process, this.#output];
    this.#process = this.#output = undefined;
    try {
      process?.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // A TypeError means that the process has already ended.
    }
    // A server that hangs, for instance in an endless script, ignores SIGTERM.
    const force = setTimeout(() => process?.kill("SIGKILL"), STOP_TIMEOUT_MS);
    try {
      return await output;
    } finally {
      clearTimeout(force);
    }
  }
}

/**
 * A free port below the range for outgoing connections, so that no connection takes it before the server listens or while
 * the server restarts.
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

/** Whether this process answers at the port: if the port was taken, another server would answer a PING. */
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
