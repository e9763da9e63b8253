import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { expectNoFailures, load } from "./load.ts";
import { megabytes, percentile, ServerMemory } from "./measure.ts";
import { numbered, pictures } from "./pictures.ts";

const SIZE = { width: 4000, height: 3000 };

export const backpressure: Bench = {
  name: "backpressure",
  summary: "many photographs of 12 megapixels at once",
  duration: "10 min",
  options: [
    { name: "images", summary: "how many photographs", fallback: 200 },
    { name: "concurrency", summary: "how many at a time", fallback: 50 },
  ],

  async run(values) {
    const images = values.number("images");
    const files = await pictures(Array.from({ length: 4 }, () => SIZE));
    await using server = await TestServer.start({}, { checked: false });
    using memory = new ServerMemory();
    const ready = memory.samples[0].rss;
    const result = await load(server, {
      images,
      image: (number) => numbered(files[number % files.length], number),
      concurrency: values.number("concurrency"),
      timeoutMs: 3_600_000,
    });
    const { statuses, latenciesMs, elapsedMs, failures, workerRestarts } = result;
    expectNoFailures(result);
    return [{
      caption: `${images} photographs of ${SIZE.width}×${SIZE.height}, ${values.number("concurrency")} at a time.`,
      rows: [{
        "MB each": (files.reduce((sum, { length }) => sum + length, 0) / files.length / 1e6).toFixed(1),
        "200 responses": statuses.get(200) ?? 0,
        "503 responses": statuses.get(503) ?? 0,
        failed: failures.length,
        "RSS when ready (MB)": megabytes(ready),
        "peak RSS (MB)": megabytes(memory.peak),
        "p50 (s)": (percentile(latenciesMs, 0.5) / 1000).toFixed(1),
        "workers replaced": workerRestarts,
        "total (s)": Math.round(elapsedMs / 1000),
      }],
    }];
  },
};
