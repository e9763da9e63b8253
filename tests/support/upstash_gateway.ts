import { Buffer } from "node:buffer";
import { createClient, ErrorReply, RESP_TYPES } from "redis";
import { z } from "zod";

/** The maximum request body of serverless-redis-http, in bytes. */
const MAX_BODY_BYTES = 8_000_000;

/** The maximum length of an argument that {@link UpstashGateway.commands} records, in characters. */
const MAX_RECORDED_LENGTH = 100;

const command = z.array(z.union([z.string(), z.number(), z.boolean()]).transform(String)).min(1);
const commandList = z.array(command);

/** A reply of Redis in RESP2, with strings as bytes. */
type Reply = Uint8Array | string | number | null | ErrorReply | Reply[];

/** The result of one command in a pipeline or transaction. */
type CommandResult = { result: unknown } | { error: string };

/** A request that fails, with the status and message of serverless-redis-http. */
class Refusal extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** Answers a request instead of the gateway, or returns undefined to let it through. */
export type Fault = (request: Request) => Response | undefined | Promise<Response | undefined>;

/** The {@link Fault} of a service that accepts requests and never answers. */
export const noAnswer: Fault = () => new Promise(() => {});

/**
 * The Upstash REST protocol in front of a real Redis, on 127.0.0.1, as serverless-redis-http speaks it.
 *
 * Redis may stop and restart. While it is down, every command gets a 500 at once.
 *
 * @example
 * ```ts
 * await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
 * const client = new Redis({ url: gateway.url, token: gateway.token, retry: false, enableTelemetry: false });
 * ```
 */
export class UpstashGateway {
  readonly url: string;
  readonly token: string;
  /** HTTP requests since the start or {@link resetCounts}, including failed ones. */
  requests = 0;
  /**
   * The commands sent to Redis since then, in order: the name in capitals, then the arguments. An argument of more than
   * 100 characters is recorded as `<n characters>`.
   */
  commands: string[][] = [];
  /** If set, it sees every request before the gateway does. */
  fault?: Fault;
  readonly #redis: RedisConnection;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stopping = new AbortController();

  private constructor(redisUrl: string, token: string) {
    this.token = token;
    this.#redis = new RedisConnection(redisUrl);
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, signal: this.#stopping.signal, onListen() {} },
      (request) => this.#handle(request),
    );
    this.url = `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /**
   * The environment of a Cutcache that uses this gateway. The deadlines are long enough for a busy machine. A test that
   * needs a missed deadline sets its own.
   */
  get environment(): Record<string, string> {
    return {
      UPSTASH_REDIS_REST_URL: this.url,
      UPSTASH_REDIS_REST_TOKEN: this.token,
      CACHE_TIMEOUT_MS: "60000",
      CACHE_WRITE_TIMEOUT_MS: "60000",
    };
  }

  /** Starts a gateway; it connects to Redis with the first command. */
  static start(options: { redisUrl: string; token?: string }): Promise<UpstashGateway> {
    return Promise.resolve(new UpstashGateway(options.redisUrl, options.token ?? "test-token"));
  }

  /** Forgets the requests and commands seen so far. */
  resetCounts(): void {
    this.requests = 0;
    this.commands = [];
  }

  /** Aborts pending requests, including those that hang in a {@link fault}. Does nothing the second time. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#server.finished;
    this.#redis.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #handle(request: Request): Promise<Response> {
    this.requests++;
    const faulty = await this.fault?.(request);
    if (faulty) return faulty;
    // A fault may have waited until the gateway stopped. No command is sent after that.
    if (this.#stopping.signal.aborted) return new Response(null, { status: 503 });
    try {
      return await this.#answer(request);
    } catch (error) {
      const { status, message } = asRefusal(error);
      return status === 413 ? new Response(null, { status }) : Response.json({ error: message }, { status });
    }
  }

  async #answer(request: Request): Promise<Response> {
    const route = `${request.method} ${new URL(request.url).pathname}`;
    switch (route) {
      case "GET /":
        return Response.json("Welcome to Serverless Redis HTTP!");
      case "POST /":
        return Response.json({ result: await this.#one(await this.#read(request, command), textOf(request)) });
      case "POST /pipeline":
        return Response.json(await this.#pipeline(await this.#read(request, commandList), textOf(request)));
      case "POST /multi-exec":
        return Response.json(await this.#transaction(await this.#read(request, commandList), textOf(request)));
      default:
        throw new Refusal(404, "SRH: Endpoint not found. SRH might not support this feature yet.");
    }
  }

  /** Checks in the same order as serverless-redis-http: type, size, syntax, token, shape. */
  async #read<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
    if (request.headers.get("content-type") !== "application/json") {
      throw new Refusal(400, "Invalid content type. Expected application/json.");
    }
    const body = await request.arrayBuffer();
    if (body.byteLength > MAX_BODY_BYTES) throw new Refusal(413, "");
    const json = parseJson(new TextDecoder().decode(body));
    const token = /^Bearer ([^ ]+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
    if (token === undefined) throw new Refusal(400, "Missing/Invalid authorization header");
    if (token !== this.token) throw new Refusal(401, "Invalid token");
    const parsed = schema.safeParse(json);
    if (!parsed.success) throw new Refusal(400, "Invalid command array. Expected a string array at root.");
    return parsed.data;
  }

  async #one(args: string[], text: TextForm): Promise<unknown> {
    this.#record(args);
    const [reply] = await this.#redis.send([args]);
    if (reply instanceof ErrorReply) throw reply;
    return inJson(reply, text);
  }

  async #pipeline(commands: string[][], text: TextForm): Promise<CommandResult[]> {
    const results: CommandResult[] = [];
    for (const args of commands) {
      this.#record(args);
      const [reply] = await this.#redis.send([args]);
      results.push(resultOf(reply, text));
    }
    return results;
  }

  async #transaction(commands: string[][], text: TextForm): Promise<CommandResult[]> {
    commands.forEach((args) => this.#record(args));
    const replies = await this.#redis.send([["MULTI"], ...commands, ["EXEC"]]);
    const executed = replies.at(-1)!;
    if (executed instanceof ErrorReply) throw executed;
    return (executed as Reply[]).map((reply) => resultOf(reply, text));
  }

  #record([name, ...args]: string[]): void {
    const short = args.map((arg) => arg.length > MAX_RECORDED_LENGTH ? `<${arg.length} characters>` : arg);
    this.commands.push([name.toUpperCase(), ...short]);
  }
}

/**
 * A connection to Redis, opened by the first command and reopened after it was lost.
 *
 * The client's own reconnecting waits on a timer that nothing can cancel, which tests would report as a leak.
 */
class RedisConnection {
  readonly #url: string;
  #client?: ReturnType<typeof redisClient>;
  #connected?: Promise<unknown>;

  constructor(url: string) {
    this.#url = url;
  }

  /**
   * Sends commands together, so that no other request's commands come between them.
   *
   * @throws {Refusal} 500 if Redis does not answer
   */
  async send(commands: string[][]): Promise<Reply[]> {
    try {
      const client = this.#client ??= this.#open();
      await this.#connected;
      return await Promise.all(commands.map((args) => client.sendCommand<Reply>(args).catch(asReply)));
    } catch (error) {
      throw new Refusal(500, `Unable to connect to the Redis server: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.#client?.destroy();
  }

  #open() {
    const client = redisClient(this.#url);
    client.on("error", () => {
      if (this.#client === client) this.#client = undefined;
    });
    this.#connected = client.connect();
    return client;
  }
}

function redisClient(url: string) {
  return createClient({
    url,
    RESP: 2, // Upstash has only the types of RESP2, without maps and doubles.
    socket: { reconnectStrategy: false },
    disableOfflineQueue: true,
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }, // Values need not be text.
  });
}

function asReply(error: unknown): ErrorReply {
  if (error instanceof ErrorReply) return error;
  throw error;
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof ErrorReply) return new Refusal(400, error.message);
  return new Refusal(500, "An error occurred internally");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, "The body is not JSON");
  }
}

/** Converts a Redis string to a JSON string. */
type TextForm = (bytes: Uint8Array) => string;

/** Base64 if the request asks for it, otherwise UTF-8. Bytes that are not UTF-8 make the request fail. */
function textOf(request: Request): TextForm {
  if (request.headers.get("upstash-encoding") === "base64") return (bytes) => bytes.toBase64();
  return (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

function inJson(reply: Reply, text: TextForm): unknown {
  if (Array.isArray(reply)) return reply.map((item) => inJson(item, text));
  if (reply instanceof Uint8Array) return text(reply);
  // Status replies such as OK are encoded like any string. @upstash/redis accepts both.
  if (typeof reply === "string") return text(new TextEncoder().encode(reply));
  return reply;
}

function resultOf(reply: Reply, text: TextForm): CommandResult {
  return reply instanceof ErrorReply ? { error: reply.message } : { result: inJson(reply, text) };
}
