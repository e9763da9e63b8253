import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { expectNoFailures, load } from "./load.ts";
import { megabytes, percentile, ServerMemory, threeDigits } from "./measure.ts";
import { pictures } from "./pictures.ts";

const SIZE = { width: 1024, height: 683 };
const CONCURRENCY = 4;

export const pool: Bench = {
  name: "pool",
  summary: `workers × threads: throughput, latency and memory of misses, 0.7 megapixels, ${CONCURRENCY} at a time`,
  duration: "3 min",
  options: [{ name: "images", summary: "images of each combination", fallback: 40 }],

  async run(values, tell) {
    const count = values.number("images");
    const files = await pictures(Array.from({ length: count }, () => SIZE));
    const counts = [1, 2].filter((n) => n <= navigator.hardwareConcurrency);
    const rows = [];
    for (const workers of counts) {
      for (const threads of counts) {
        tell(`${workers} × ${threads}`);
        rows.push(await measure(workers, threads, files));
      }
    }
    return [{ caption: `${count} images of 0.7 megapixels, ${CONCURRENCY} at a time.`, rows }];
  },
};

async function measure(workers: number, threads: number, files: Uint8Array<ArrayBuffer>[]) {
  await using server = await TestServer.start({ INFERENCE_WORKERS: `${workers}`, INFERENCE_THREADS: `${threads}` }, {
    checked: false,
  });
  using memory = new ServerMemory();
  const began = performance.now();
  const result = await load(server, {
    images: files.length,
    image: (number) => files[number],
    concurrency: CONCURRENCY,
    timeoutMs: 600_000,
  });
  expectNoFailures(result);
  const { latenciesMs, elapsedMs, workerRestarts } = result;
  return {
    "workers × threads": `${workers} × ${threads}`,
    "images/s": threeDigits(files.length / elapsedMs * 1000),
    "p50 (ms)": Math.round(percentile(latenciesMs, 0.5)),
    "p95 (ms)": Math.round(percentile(latenciesMs, 0.95)),
    "peak RSS (MB)": megabytes(memory.peak),
    "steady RSS (MB)": megabytes(memory.median(began + elapsedMs / 2)),
    "workers replaced": workerRestarts,
  };
}
