import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { expectNoFailures, load } from "./load.ts";
import { megabytes, ServerMemory } from "./measure.ts";
import { numbered, pictures, type Size } from "./pictures.ts";

const CONCURRENCY = 4;
/** A figure is the median over this many misses, because a single sample depends on the last garbage collection. */
const MISSES_PER_ROW = 25;
const FIRST_MARK = 50;

/** From 0.3 to 2 megapixels, wide, square and tall. */
const SIZES: Size[] = [
  { width: 1732, height: 1154 },
  { width: 1200, height: 800 },
  { width: 1080, height: 1080 },
  { width: 640, height: 480 },
  { width: 1414, height: 1414 },
  { width: 900, height: 1600 },
  { width: 1920, height: 1040 },
  { width: 1154, height: 1732 },
];

export const soak: Bench = {
  name: "soak",
  summary: "memory over many misses of up to 2 megapixels, with default settings",
  duration: "10 min",
  options: [{ name: "misses", summary: "how many misses", fallback: 550 }],

  async run(values, report) {
    const misses = values.number("misses");
    // Also in reverse order, in which each size uses another one of the four photographs.
    const files = await pictures([...SIZES, ...SIZES.toReversed()]);
    await using server = await TestServer.start({}, { checked: false });
    using memory = new ServerMemory();
    const ready = memory.samples[0].rss;
    const began = performance.now();
    let mark = began;
    const medians: { misses: number; rss: number }[] = [];
    const result = await load(server, {
      images: misses,
      image: (number) => numbered(files[number % files.length], number),
      concurrency: CONCURRENCY,
      timeoutMs: 3_600_000,
      onCutout: (cutouts) => {
        if (cutouts % MISSES_PER_ROW !== 0 && cutouts !== misses) return;
        const rss = memory.median(mark);
        mark = performance.now();
        medians.push({ misses: cutouts, rss });
        // So that an interrupted run still has results.
        report(`${cutouts} misses: ${megabytes(rss)} MB`);
      },
    });
    expectNoFailures(result);
    const early = medians.find(({ misses }) => misses >= FIRST_MARK) ?? medians.at(-1)!;
    const last = medians.at(-1)!;
    return [{
      caption:
        `${misses} misses of 0.3 to 2 megapixels, ${CONCURRENCY} at a time, with default settings. A figure after ` +
        `misses is the median over the last ${MISSES_PER_ROW} of them; steady is the median of the second half. The ` +
        "surrounding `deno task` is not counted.",
      rows: [{
        "ready (MB)": megabytes(ready),
        [`after ${early.misses} (MB)`]: megabytes(early.rss),
        [`after ${last.misses} (MB)`]: megabytes(last.rss),
        "growth": `${((last.rss / early.rss - 1) * 100).toFixed(1)} %`,
        "steady (MB)": megabytes(memory.median(began + result.elapsedMs / 2)),
        "peak (MB)": megabytes(memory.peak),
        "`deno task` (MB)": megabytes(memory.launcherRss),
        "workers replaced": result.workerRestarts,
      }],
    }];
  },
};
