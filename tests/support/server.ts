import assert from "node:assert/strict";
import { DescribedResponses } from "./described_responses.ts";
import { TextLineStream } from "./lines.ts";
import { descendants } from "./processes.ts";

const ROOT = new URL("../../", import.meta.url);

/** The start task, or what `TEST_SERVER_COMMAND` has instead (a JSON array), as the tests of other platforms do. */
const COMMAND: readonly string[] = JSON.parse(Deno.env.get("TEST_SERVER_COMMAND") ?? "null") ??
  [Deno.execPath(), "task", "--quiet", "start"];

/** One JSON line of the server's log. */
export type LogLine = { level: string; message: string; request_id?: string; [property: string]: unknown };

/** What `POST /predict` answers. */
export interface PredictAnswer {
  status: "ok" | "ng";
  img_none_bg_base64: string | null;
  error?: { code: string; message: string };
  request_id?: string;
}

export interface StartOptions {
  /** Whether responses are compared with `/openapi.json`: benches measure the server alone. */
  checked?: boolean;
  /** Starts it in another way. */
  command?: readonly string[];
}

/**
 * Cutcache as a user starts it (`deno task start`, with just its permissions), as a process of its own on a free port of
 * 127.0.0.1 with a cache folder of its own.
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
   * Starts a server and waits until it answers.
   * @throws {Error} with what it printed, where it ends instead.
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
        // The example for people, which is printed whatever the log's level.
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
      listening.reject(new Error(`the server ended: ${await errors}`));
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

  /** Starts a server with the quickest of the models that ship: for tests of what goes on around the model. */
  static quick(settings: Record<string, string> = {}, options?: StartOptions): Promise<TestServer> {
    return TestServer.start({ MODEL: "u2netp-fast", ...settings }, options);
  }

  /** The process that was started: of the start task, which has the server below it, or the server itself. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Ends the server with a signal and waits for it; what it logged stays in `logs`. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<{ code: number; stderr: string }> {
    try {
      this.#process.kill(signal);
    } catch { /* has ended */ }
    const { code } = await this.#process.status;
    const [stderr] = await this.#output as [string, void];
    if (this.#ownsCacheDir) await Deno.remove(this.cacheDir, { recursive: true }).catch(() => {});
    return { code, stderr };
  }

  /** Ends the server at once, as a crash would. */
  async kill(): Promise<void> {
    // `deno task` and `tools/start.ts` around the server cannot pass this signal on.
    for (const { pid } of descendants(this.#process.pid)) Deno.kill(pid, "SIGKILL");
    await this.stop("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @throws {AssertionError} where what is answered is not what `/openapi.json` describes. */
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
    answer: PredictAnswer;
    /** From sending to the last byte of the answer. */
    elapsedMs: number;
  }> {
    const body = JSON.stringify({ file_path: name, img_base64: image.toBase64() });
    const started = performance.now();
    const response = await this.fetch("/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      ...init,
    });
    const text = await response.text();
    return { response, answer: JSON.parse(text), elapsedMs: performance.now() - started };
  }

  /** Sends an image and expects its cutout. */
  async cutout(
    name: string,
    image: Uint8Array,
  ): Promise<{ png: Uint8Array<ArrayBuffer>; cacheStatus: string; elapsedMs: number }> {
    const { response, answer, elapsedMs } = await this.predict(name, image);
    assert.equal(response.status, 200, JSON.stringify(answer.error));
    assert.equal(answer.status, "ok");
    return {
      png: Uint8Array.fromBase64(answer.img_none_bg_base64!),
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
   * Resolves once a line like this has been logged.
   * @throws {Error} where none has been after a minute: a test that waits for ever tells nobody what is wrong.
   */
  async logged(isIt: (line: LogLine) => boolean): Promise<void> {
    for (const until = performance.now() + 60_000; !this.logs.some(isIt);) {
      if (performance.now() > until) throw new Error(`not logged: ${isIt}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Resolves once every model has run. */
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

  /** Resolves once no deferred write is pending. */
  async settled(): Promise<void> {
    while ((await this.health()).deferred.pending > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
