import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { expectNoFailures, load } from "./load.ts";
import { megabytes, ServerMemory } from "./measure.ts";
import { numbered, pictures, type Size } from "./pictures.ts";

const CONCURRENCY = 4;
/** A row is the median over this many misses: a single sample depends on when garbage was last collected. */
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
  summary: "whether memory grows over many misses of up to 2 megapixels, with default settings",
  duration: "10 min",
  options: [{ name: "misses", summary: "how many", fallback: 550 }],

  async run(values) {
    const misses = values.number("misses");
    // The other way round as well, where each size meets another of the four photographs.
    const files = await pictures([...SIZES, ...SIZES.toReversed()]);
    await using server = await TestServer.start({}, { checked: false });
    using memory = new ServerMemory();
    const ready = memory.samples[0].rss;
    const began = performance.now();
    let mark = began;
    const medians: number[] = [];
    // Row by row, so that a run that is cut short has told something.
    console.log("| misses | RSS, median since the row above (MB) |\n| ---: | ---: |");
    const result = await load(server, {
      images: misses,
      image: (number) => numbered(files[number % files.length], number),
      concurrency: CONCURRENCY,
      timeoutMs: 3_600_000,
      onCutout: (cutouts) => {
        if (cutouts % MISSES_PER_ROW !== 0 && cutouts !== misses) return;
        const median = memory.median(mark);
        mark = performance.now();
        medians.push(median);
        console.log(`| ${cutouts} | ${megabytes(median)} |`);
      },
    });
    expectNoFailures(result);
    const early = medians[Math.min(FIRST_MARK / MISSES_PER_ROW, medians.length) - 1];
    const last = medians.at(-1)!;
    const growth = (last / early - 1) * 100;
    console.log([
      "",
      `ready: ${megabytes(ready)} MB`,
      `after ${Math.min(FIRST_MARK, misses)} misses: ${megabytes(early)} MB; after ${misses}: ${megabytes(last)} MB; ` +
      `growth ${growth.toFixed(1)} %`,
      `peak: ${megabytes(memory.peak)} MB; steady (median of the second half): ` +
      `${megabytes(memory.median(began + result.elapsedMs / 2))} MB`,
      `\`deno task\` around the server: ${megabytes(memory.launcherRss)} MB`,
      `${misses} misses in ${Math.round(result.elapsedMs / 1000)} s; workers replaced: ${result.workerRestarts}`,
    ].join("\n"));
  },
};
