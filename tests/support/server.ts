import assert from "node:assert/strict";
import { DescribedResponses } from "./described_responses.ts";
import { TextLineStream } from "./lines.ts";
import { descendants } from "./processes.ts";

const ROOT = new URL("../../", import.meta.url);

/** The start task, or the command in `TEST_SERVER_COMMAND` (a JSON array), which the tests of other platforms set. */
const COMMAND: readonly string[] = JSON.parse(Deno.env.get("TEST_SERVER_COMMAND") ?? "null") ??
  [Deno.execPath(), "task", "--quiet", "start"];

/** One JSON line of the server's log. */
export type LogLine = { level: string; message: string; request_id?: string; [property: string]: unknown };

/** The body of a response to `POST /predict`. */
export interface PredictBody {
  status: "ok" | "ng";
  img_none_bg_base64: string | null;
  error?: { code: string; message: string };
  request_id?: string;
}

export interface StartOptions {
  /** Whether responses are compared with `/openapi.json`. Benches turn this off, to measure the server alone. */
  checked?: boolean;
  /** The command that starts the server. */
  command?: readonly string[];
}

/**
 * Cutcache as users start it (`deno task start`, with only its permissions), in a separate process, on a free port of
 * 127.0.0.1 and with a separate cache folder.
 */
export class TestServer {
  readonly url: string;
  readonly cacheDir: string;
  readonly logs: LogLine[];
  readonly #process: Deno.ChildProcess;
  readonly #output: Promise<unknown>;
  readonly #ownsCacheDir: boolean;
  readonly #checked: boolean;
  #described?: DescribedResponses;

  private constructor(parts: {
    url: string;
    cacheDir: string;
    ownsCacheDir: boolean;
    checked: boolean;
    logs: LogLine[];
    process: Deno.ChildProcess;
    output: Promise<unknown>;
  }) {
    this.url = parts.url;
    this.cacheDir = parts.cacheDir;
    this.logs = parts.logs;
    this.#ownsCacheDir = parts.ownsCacheDir;
    this.#checked = parts.checked;
    this.#process = parts.process;
    this.#output = parts.output;
  }

  /**
   * Starts a server and waits until it listens.
   * @throws {Error} with its error output, if it exits instead.
   */
  static async start(
    settings: Record<string, string> = {},
    { checked = true, command = COMMAND }: StartOptions = {},
  ): Promise<TestServer> {
    const cacheDir = settings.CACHE_DIR ?? await Deno.makeTempDir({ prefix: "cutcache-test-" });
    const [program, ...args] = command;
    const process = new Deno.Command(program, {
      args,
      cwd: ROOT,
      env: { HOST: "127.0.0.1", PORT: "0", LOG_FORMAT: "json", CACHE_DIR: cacheDir, NO_COLOR: "1", ...settings },
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const logs: LogLine[] = [];
    const listening = Promise.withResolvers<string>();
    const errors = (async () => {
      let text = "";
      for await (const piece of process.stderr.pipeThrough(new TextDecoderStream())) {
        text += piece;
        // From the example for users, which is printed at every log level.
        const [address] = /http:\/\/[^\s/]+(?=\/cutouts)/.exec(text) ?? [];
        if (address !== undefined) listening.resolve(address);
      }
      return text;
    })();
    const reading = (async () => {
      const lines = process.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
      for await (const line of lines) {
        const log = JSON.parse(line) as LogLine;
        logs.push(log);
      }
      listening.reject(new Error(`the server exited: ${await errors}`));
    })();
    reading.catch(listening.reject);
    const output = Promise.all([errors, reading]);
    try {
      const url = (await listening.promise).replace("localhost", "127.0.0.1");
      return new TestServer({ url, cacheDir, ownsCacheDir: !settings.CACHE_DIR, checked, logs, process, output });
    } catch (error) {
      await process.status;
      await output.catch(() => {});
      if (!settings.CACHE_DIR) await Deno.remove(cacheDir, { recursive: true });
      throw error;
    }
  }

  /** Starts a server with the fastest bundled model, for tests that are not about the model. */
  static quick(settings: Record<string, string> = {}, options?: StartOptions): Promise<TestServer> {
    return TestServer.start({ MODEL: "u2netp-fast", ...settings }, options);
  }

  /** The id of the process that was started: the start task, from which the server descends, or the server itself. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Stops the server with a signal and waits until it has exited. Its log remains in `logs`. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<{ code: number; stderr: string }> {
    try {
      this.#process.kill(signal);
    } catch { /* has already exited */ }
    const { code } = await this.#process.status;
    const [stderr] = await this.#output as [string, void];
    if (this.#ownsCacheDir) await Deno.remove(this.cacheDir, { recursive: true }).catch(() => {});
    return { code, stderr };
  }

  /** Ends the server abruptly, like a crash. */
  async kill(): Promise<void> {
    // `deno task` and `tools/start.ts` around the server cannot pass this signal on.
    for (const { pid } of descendants(this.#process.pid)) Deno.kill(pid, "SIGKILL");
    await this.stop("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @throws {AssertionError} if `/openapi.json` does not describe the response. */
  async fetch(path: string, init?: RequestInit): Promise<Response> {
    const response = await fetch(this.url + path, init);
    if (this.#checked) {
      this.#described ??= await DescribedResponses.of(this.url);
      await this.#described.check(init?.method ?? "GET", path, response.clone());
    }
    return response;
  }

  /** Sends an image to `/predict`. */
  async predict(name: string, image: Uint8Array, init: RequestInit = {}): Promise<{
    response: Response;
    body: PredictBody;
    /** From sending the request to the last byte of the response. */
    elapsedMs: number;
  }> {
    const sent = JSON.stringify({ file_path: name, img_base64: image.toBase64() });
    const started = performance.now();
    const response = await this.fetch("/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: sent,
      ...init,
    });
    const text = await response.text();
    return { response, body: JSON.parse(text), elapsedMs: performance.now() - started };
  }

  /** Sends an image and expects its cutout. */
  async cutout(
    name: string,
    image: Uint8Array,
  ): Promise<{ png: Uint8Array<ArrayBuffer>; cacheStatus: string; elapsedMs: number }> {
    const { response, body, elapsedMs } = await this.predict(name, image);
    assert.equal(response.status, 200, JSON.stringify(body.error));
    assert.equal(body.status, "ok");
    return {
      png: Uint8Array.fromBase64(body.img_none_bg_base64!),
      // Without the key, which is the last parameter.
      cacheStatus: response.headers.get("Cache-Status")!.replace(/; key="[^"]*"$/, ""),
      elapsedMs,
    };
  }

  async health(): Promise<{
    proxy_server: { health: string };
    predict_server: { health: string };
    engine: {
      backend: string;
      mode: string;
      sandboxed: boolean;
      threads: number;
      inferences: number;
      waiting: number;
      running: number;
      worker_restarts: number;
    };
    store: { name: string; health: string; breaker?: string; failed_writes?: number; last_error?: string };
    deferred: { pending: number; failed: number };
  }> {
    return await (await this.fetch("/health")).json();
  }

  /**
   * Resolves when a matching line has been logged.
   * @throws {Error} if none is logged within a minute: a test that waits forever does not show what is wrong.
   */
  async logged(matches: (line: LogLine) => boolean): Promise<void> {
    for (const until = performance.now() + 60_000; !this.logs.some(matches);) {
      if (performance.now() > until) throw new Error(`not logged: ${matches}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Resolves when every model has run. */
  async ready(): Promise<void> {
    for (;;) {
      const response = await this.fetch("/readyz");
      await response.body?.cancel();
      if (response.status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** How many times the model has run for a request. */
  async inferences(): Promise<number> {
    return (await this.health()).engine.inferences;
  }

  /** Resolves when no deferred write is pending. */
  async settled(): Promise<void> {
    while ((await this.health()).deferred.pending > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
