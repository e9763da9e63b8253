import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { decode } from "../src/image/decode.ts";
import { compareMasks } from "../tests/support/masks.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { megabytes, percentile, ServerMemory } from "./measure.ts";
import { numbered } from "./pictures.ts";

const PICTURES = new URL("pictures/", import.meta.url);
const STATIC = fileURLToPath(new URL("../static", import.meta.url));
const REFERENCE = `${STATIC}/model.onnx`;
/** After this many failed requests the bench gives up on a model. */
const MAX_FAILURES = 3;

export const models: Bench = {
  name: "models",
  summary: "each model file and backend: time, memory, and how far alpha is from that of static/model.onnx",
  duration: "3 min",
  options: [
    {
      name: "files",
      summary: "ONNX files, separated by commas, each with NAME.json beside it; by default those in static/",
      fallback: "",
    },
    {
      name: "backends",
      summary: "values of INFERENCE_BACKEND that take turns, separated by commas",
      fallback: "wasm,compiled",
    },
    { name: "inferences", summary: "inferences of each model on all threads", fallback: 20 },
  ],

  async run(values, tell) {
    const files = values.text("files") === "" ? shippedFiles() : values.text("files").split(",").map((f) => resolve(f));
    const count = values.number("inferences");
    const pictures = [...Deno.readDirSync(PICTURES)].map(({ name }) => name).filter((name) => name.endsWith(".jpg"))
      .sort().map((name) => Deno.readFileSync(new URL(name, PICTURES)));
    const all = navigator.hardwareConcurrency;
    const backends = values.text("backends").split(",");
    tell("reference");
    const [{ alphas: references }] = await measure(REFERENCE, ["wasm"], all, pictures, pictures.length);
    const rows = [];
    for (const file of files) {
      const runnable = backends.filter((backend) => backend !== "compiled" || hasPlan(file));
      tell(`${basename(file)}, 1 thread`);
      const single = await measure(file, runnable, 1, pictures, pictures.length);
      tell(`${basename(file)}, ${all} threads`);
      const threaded = await measure(file, runnable, all, pictures, Math.max(count, pictures.length));
      for (const [i, backend] of runnable.entries()) rows.push(row(backend, single[i], threaded[i], all, references));
    }
    return [{
      caption:
        `One server for each model, backend and number of threads. The backends of a model take turns, picture by ` +
        `picture. Times are medians of the inference alone (${count} on all threads, ${pictures.length} on one). Alpha's mean absolute difference, of 1.0, and IoU at 128 compare each of ` +
        `the ${pictures.length} pictures in bench/pictures with its result by static/model.onnx.`,
      rows,
    }];
  },
};

function row(backend: string, single: Measured, threaded: Measured, all: number, references: readonly Uint8Array[]) {
  const distances = threaded.alphas.map((alpha, i) => compareMasks(alpha, references[i]));
  const differences = distances.map(({ meanDifference }) => meanDifference);
  const overlaps = distances.map(({ intersectionOverUnion }) => intersectionOverUnion);
  const median = ({ inferMs }: Measured) => Math.round(percentile(inferMs, 0.5));
  return {
    model: single.name,
    backend,
    "1 thread (ms)": median(single),
    [`${all} threads (ms)`]: median(threaded),
    "peak RSS, 1 thread (MB)": megabytes(single.peak),
    [`peak RSS, ${all} threads (MB)`]: megabytes(threaded.peak),
    "alpha, mean": mean(differences).toFixed(4),
    "alpha, worst": Math.max(...differences).toFixed(4),
    "IoU, mean": mean(overlaps).toFixed(3),
    "IoU, worst": Math.min(...overlaps).toFixed(3),
    [`inferences, ${all} threads`]: threaded.inferMs.length,
    failed: threaded.failures,
  };
}

/** Whether the compiled backend can run a model file. */
function hasPlan(file: string): boolean {
  try {
    return Deno.statSync(file.replace(/\.onnx$/, ".plan.json")).isFile;
  } catch {
    return false;
  }
}

/** The default model and those in `static/models/`. */
function shippedFiles(): string[] {
  const further = [...Deno.readDirSync(`${STATIC}/models`)].map(({ name }) => name).filter((n) => n.endsWith(".onnx"));
  return [REFERENCE, ...further.sort().map((name) => `${STATIC}/models/${name}`)];
}

interface Measured {
  readonly name: string;
  /** Of each inference that succeeded. */
  readonly inferMs: number[];
  /** Of each picture, height×width, 0–255. */
  readonly alphas: Uint8Array[];
  /** Responses without a cutout. The server ends an inference that hangs after `INFERENCE_TIMEOUT_MS`. */
  readonly failures: number;
  /** The peak resident memory of the server, in bytes. */
  readonly peak: number;
}

/**
 * Starts a server with this model for each backend, and sends each `count` requests with the pictures in turn. Only one
 * request is under way at a time.
 */
async function measure(
  file: string,
  backends: readonly string[],
  threads: number,
  pictures: readonly Uint8Array[],
  count: number,
): Promise<Measured[]> {
  const measurements = backends.map((backend) => new Measurement(file, backend, threads));
  try {
    for (const measurement of measurements) await measurement.start();
    for (let number = 0; number < count; number++) {
      const picture = pictures[number % pictures.length];
      for (const measurement of measurements) await measurement.send(picture, number, number < pictures.length);
    }
    return measurements.map((measurement) => measurement.result());
  } finally {
    for (const measurement of measurements) await measurement.stop();
  }
}

/** A server with one model on one backend, and what is known of its inferences. */
class Measurement {
  readonly #inferMs: number[] = [];
  readonly #alphas: Uint8Array[] = [];
  #failures = 0;
  #name = "";
  #server?: TestServer;
  #memory?: ServerMemory;

  constructor(readonly file: string, readonly backend: string, readonly threads: number) {}

  async start(): Promise<void> {
    const manifest = this.file.replace(/\.onnx$/, ".json");
    this.#name = JSON.parse(await Deno.readTextFile(manifest)).name;
    this.#server = await TestServer.start({
      MODEL_PATH: this.file,
      MODEL_MANIFEST: manifest,
      INFERENCE_BACKEND: this.backend,
      INFERENCE_THREADS: `${this.threads}`,
      LOG_LEVEL: "error",
    }, { checked: false });
    this.#memory = new ServerMemory(this.#server.pid);
    await this.#server.ready();
  }

  /** @param keep whether to keep alpha; then a failure is an error. */
  async send(picture: Uint8Array, number: number, keep: boolean): Promise<void> {
    const body = numbered(picture, number);
    const response = await this.#server!.fetch("/cutouts?channels=alpha&format=png", { method: "POST", body });
    const file = await response.bytes();
    if (response.status !== 200) {
      const why = `${response.status} ${new TextDecoder().decode(file)}`;
      if (++this.#failures >= MAX_FAILURES || keep) throw new Error(`${this.#name}, image ${number}: ${why}`);
      return;
    }
    this.#inferMs.push(Number(/\binfer;dur=([\d.]+)/.exec(response.headers.get("Server-Timing")!)![1]));
    if (!keep) return;
    const { data } = await decode(file, { maxPixels: 1e6 });
    this.#alphas.push(new Uint8Array(data.filter((_, i) => i % 4 === 0)));
  }

  result(): Measured {
    return {
      name: this.#name,
      inferMs: this.#inferMs,
      alphas: this.#alphas,
      failures: this.#failures,
      peak: this.#memory!.peak,
    };
  }

  async stop(): Promise<void> {
    this.#memory?.[Symbol.dispose]();
    await this.#server?.[Symbol.asyncDispose]();
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
