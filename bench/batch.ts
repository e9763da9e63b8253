import { join } from "node:path";
import PQueue from "p-queue";
import { defaultRenderOptions } from "../src/render/options.ts";
import { defaultModel, withEngine } from "../tests/support/engine.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { megabytes, processMemory, threeDigits } from "./measure.ts";
import { numbered, pictures } from "./pictures.ts";

const CONCURRENCY = 4;
const SIZES = [
  { width: 640, height: 480 },
  { width: 800, height: 600 },
  { width: 1024, height: 683 },
];

export const batch: Bench = {
  name: "batch",
  summary: "`deno task request` on a folder that has each image twice, compared with the engine alone",
  duration: "3 min",
  options: [{ name: "files", summary: "how many files", fallback: 200 }],

  async run(values, report) {
    const files = values.number("files");
    const distinct = Math.ceil(files / 2);
    const pool = await pictures([...SIZES, ...SIZES.toReversed()]);
    const image = (i: number) => numbered(pool[i % pool.length], i);
    const folder = await Deno.makeTempDir({ prefix: "cutcache-bench-" });
    try {
      await Deno.mkdir(join(folder, "in"));
      for (let i = 0; i < files; i++) await Deno.writeFile(join(folder, "in", `${i}.jpg`), image(i % distinct));
      report("the engine alone");
      const engineMs = await engineAlone(distinct, image);
      report("the client");
      const { elapsedMs, inferences, peak } = await client(folder, files);
      return [{
        caption: `${files} files of 0.3 to 0.7 megapixels, ${distinct} of them distinct, ${CONCURRENCY} at a time. ` +
          "The engine alone gets the distinct ones in its own process, without HTTP, cache or files.",
        rows: [
          {
            run: "engine alone",
            images: distinct,
            inferences: distinct,
            "s": threeDigits(engineMs / 1000),
            "inferences/s": threeDigits(distinct / engineMs * 1000),
            "client's peak RSS (MB)": "",
          },
          {
            run: "`deno task request`",
            images: files,
            inferences,
            "s": threeDigits(elapsedMs / 1000),
            "inferences/s": threeDigits(inferences / elapsedMs * 1000),
            "client's peak RSS (MB)": megabytes(peak),
          },
        ],
      }];
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
};

async function engineAlone(images: number, image: (i: number) => Uint8Array<ArrayBuffer>): Promise<number> {
  let elapsedMs = 0;
  await withEngine(async (engine) => {
    await engine.warmUp();
    const queue = new PQueue({ concurrency: CONCURRENCY });
    const began = performance.now();
    await queue.addAll(
      Array.from({ length: images }, (_, i) => () => engine.cutout({ image: image(i), render: defaultRenderOptions })),
    );
    elapsedMs = performance.now() - began;
  }, { models: [await defaultModel()] });
  return elapsedMs;
}

/** Runs the client in a separate process, as a user does. */
async function client(folder: string, files: number) {
  await using server = await TestServer.start({ LOG_LEVEL: "warning" }, { checked: false });
  // The engine alone is warmed up too.
  await server.cutout("warm.jpg", numbered((await pictures([SIZES[0]]))[0], files));
  const { hostname, port } = new URL(server.url);
  const args = ["--in_images_dir", join(folder, "in"), "--out_images_dir", join(folder, "out"), "--host", hostname];
  const began = performance.now();
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/request.ts", ...args, "--port", port, "--concurrency", `${CONCURRENCY}`],
    cwd: new URL("../", import.meta.url),
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let peak = 0;
  const timer = setInterval(() => peak = Math.max(peak, processMemory(process.pid).peak), 100);
  const { code, stderr } = await process.output();
  clearInterval(timer);
  const elapsedMs = performance.now() - began;
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return { elapsedMs, inferences: await server.inferences() - 1, peak };
}
