import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { markdownSize, percentile } from "./measure.ts";
import { numbered, pictures } from "./pictures.ts";

/** 0.3, 0.7, 2.5 and 12 megapixels. */
const SIZES = [
  { width: 640, height: 480 },
  { width: 1024, height: 683 },
  { width: 1936, height: 1290 },
  { width: 4000, height: 3000 },
];

const STAGES = ["hash", "cache", "decode", "infer", "render", "encode"] as const;

export const misses: Bench = {
  name: "misses",
  summary: "time of a miss by image size and stage",
  duration: "1 min",
  options: [{ name: "misses", summary: "how many misses of each size", fallback: 9 }],

  async run(values, report) {
    const count = values.number("misses");
    const files = await pictures(SIZES);
    await using server = await TestServer.start({ LOG_LEVEL: "warning" }, { checked: false });
    // The first run includes compilation.
    await send(server, numbered(files[0], 0));
    const rows = [];
    for (const [i, size] of SIZES.entries()) {
      report(`${size.width}×${size.height}`);
      const runs: Miss[] = [];
      for (let number = 1; number <= count; number++) runs.push(await send(server, numbered(files[i], number)));
      const median = (value: (miss: Miss) => number) => Math.round(percentile(runs.map(value), 0.5));
      rows.push({
        image: markdownSize(size),
        "JPEG (KB)": Math.round(files[i].length / 1000),
        "PNG (KB)": median(({ bytes }) => bytes / 1000),
        "miss (ms)": median(({ totalMs }) => totalMs),
        ...Object.fromEntries(STAGES.map((stage) => [stage, median(({ stages }) => stages[stage])])),
        "all but the model (ms)": median(({ totalMs, stages }) => totalMs - stages.infer),
      });
    }
    return [{
      caption: `\`POST /cutouts\`, one at a time; medians of ${count}, in milliseconds. The stages are from ` +
        "`Server-Timing`; the rest is HTTP and communication between threads.",
      rows,
    }];
  },
};

interface Miss {
  /** From the first byte of the request to the last byte of the response. */
  readonly totalMs: number;
  readonly bytes: number;
  readonly stages: Record<typeof STAGES[number], number>;
}

async function send(server: TestServer, image: Uint8Array<ArrayBuffer>): Promise<Miss> {
  const began = performance.now();
  const response = await server.fetch("/cutouts", { method: "POST", body: image });
  const { byteLength: bytes } = await response.arrayBuffer();
  const totalMs = performance.now() - began;
  if (!/fwd=miss.*detail=inference/.test(response.headers.get("Cache-Status") ?? "")) {
    throw new Error(`${response.status} ${response.headers.get("Cache-Status")}, expected a miss`);
  }
  const timing = response.headers.get("Server-Timing")!;
  const stages = Object.fromEntries(
    STAGES.map((stage) => [stage, Number(new RegExp(`\\b${stage};dur=([\\d.]+)`).exec(timing)![1])]),
  ) as Miss["stages"];
  return { totalMs, bytes, stages };
}
