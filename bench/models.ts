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
  summary: "each model file: time, memory, and how far alpha is from that of static/model.onnx",
  duration: "2 min",
  options: [
    {
      name: "files",
      summary: "ONNX files, separated by commas, each with NAME.json beside it; by default those in static/",
      fallback: "",
    },
    { name: "inferences", summary: "inferences of each model on all threads", fallback: 20 },
  ],

  async run(values, tell) {
    const files = values.text("files") === "" ? shippedFiles() : values.text("files").split(",").map((f) => resolve(f));
    const count = values.number("inferences");
    const pictures = [...Deno.readDirSync(PICTURES)].map(({ name }) => name).filter((name) => name.endsWith(".jpg"))
      .sort().map((name) => Deno.readFileSync(new URL(name, PICTURES)));
    const all = navigator.hardwareConcurrency;
    tell("reference");
    const { alphas: references } = await measure(REFERENCE, all, pictures, pictures.length);
    const rows = [];
    for (const file of files) {
      tell(`${basename(file)}, 1 thread`);
      const single = await measure(file, 1, pictures, pictures.length);
      tell(`${basename(file)}, ${all} threads`);
      const threaded = await measure(file, all, pictures, Math.max(count, pictures.length));
      const distances = threaded.alphas.map((alpha, i) => compareMasks(alpha, references[i]));
      const differences = distances.map(({ meanDifference }) => meanDifference);
      const overlaps = distances.map(({ intersectionOverUnion }) => intersectionOverUnion);
      const median = ({ inferMs }: Measured) => Math.round(percentile(inferMs, 0.5));
      rows.push({
        model: single.name,
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
      });
    }
    return [{
      caption:
        `One server for each model and number of threads. Times are medians of the inference alone (${count} on all ` +
        `threads, ${pictures.length} on one). Alpha's mean absolute difference, of 1.0, and IoU at 128 compare each of ` +
        `the ${pictures.length} pictures in bench/pictures with its result by static/model.onnx.`,
      rows,
    }];
  },
};

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

/** Starts a server with this model and sends it `count` requests, one at a time, with the pictures in turn. */
async function measure(
  file: string,
  threads: number,
  pictures: readonly Uint8Array[],
  count: number,
): Promise<Measured> {
  const manifest = file.replace(/\.onnx$/, ".json");
  const { name } = JSON.parse(await Deno.readTextFile(manifest));
  await using server = await TestServer.start({
    MODEL_PATH: file,
    MODEL_MANIFEST: manifest,
    INFERENCE_THREADS: `${threads}`,
    LOG_LEVEL: "error",
  }, { checked: false });
  using memory = new ServerMemory();
  await server.ready();
  const inferMs: number[] = [];
  const alphas: Uint8Array[] = [];
  let failures = 0;
  for (let number = 0; number < count; number++) {
    const body = numbered(pictures[number % pictures.length], number);
    const response = await server.fetch("/cutouts?channels=alpha&format=png", { method: "POST", body });
    const file = await response.bytes();
    if (response.status !== 200) {
      const why = `${response.status} ${new TextDecoder().decode(file)}`;
      if (++failures >= MAX_FAILURES || number < pictures.length) throw new Error(`${name}, image ${number}: ${why}`);
      continue;
    }
    inferMs.push(Number(/\binfer;dur=([\d.]+)/.exec(response.headers.get("Server-Timing")!)![1]));
    if (number < pictures.length) {
      const { data } = await decode(file, { maxPixels: 1e6 });
      alphas.push(new Uint8Array(data.filter((_, i) => i % 4 === 0)));
    }
  }
  return { name, inferMs, alphas, failures, peak: memory.peak };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
