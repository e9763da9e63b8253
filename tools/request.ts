/**
 * Sends every image in a folder to a Cutcache server and writes the cutouts to another folder.
 *
 * @example deno task request --host 127.0.0.1 --port 8000 --in_images_dir photos --out_images_dir cutouts
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
// @ts-types="@types/cli-progress"
import { SingleBar } from "cli-progress";
import { z } from "zod";
import { type Image, listFolder, writeAtomically } from "./request/folder.ts";
import { predict, type PredictDeps, type PredictOptions } from "./request/predict.ts";

const USAGE = `Usage: deno task request --in_images_dir DIR --out_images_dir DIR [options]

Sends every image in a folder to a Cutcache server and writes each cutout as a PNG.

  --in_images_dir DIR   folder with the images (jpg jpeg png webp gif bmp tif tiff avif)
  --out_images_dir DIR  folder for the cutouts, created if missing; files with the same names are replaced
  --host H              the server's host (127.0.0.1)
  --port P              the server's port (8000)
  --token T             one of the server's API_TOKENS, if it requires one
  --matting M           how the alpha of edges is found: none, refine or hair (none)
  --concurrency N       how many images are sent at the same time (4)
  --timeout SECONDS     how long one attempt may take (60)
  --retries N           how often a 503 or 429 is retried (4)
  --help                show this text

Exit code: 0 if all images succeeded, 1 if some failed, 2 for invalid arguments, 130 after Ctrl-C.`;

/** Options of {@link requestAll}. */
export interface RequestOptions extends PredictOptions {
  inDir: string;
  /** Must exist. */
  outDir: string;
  /** How many images are sent, and held in memory, at the same time. */
  concurrency: number;
}

/** The results so far. */
export interface Tally {
  ok: number;
  hits: number;
  misses: number;
  /** Bytes that did not have to be sent, because the server knew the digests of their images. */
  savedBytes: number;
  failures: { name: string; message: string }[];
}

/** The result of {@link requestAll}. Without `stop`, `ok` and `failures` add up to `files`. */
export interface Summary extends Tally {
  files: number;
  elapsedMs: number;
  /** Undefined if there was no hit. */
  medianHitMs?: number;
  /** Undefined if there was no miss. */
  medianMissMs?: number;
}

/** Dependencies of {@link requestAll}, which by default are the real ones. */
export interface RequestDeps extends Partial<PredictDeps> {
  /** Called after each image. */
  onProgress?: (tally: Readonly<Tally>) => void;
}

/**
 * Sends images to the server and writes their cutouts. A failure is counted and does not end the run. Aborting `stop`
 * ends it after the images in progress.
 */
export async function requestAll(
  images: Image[],
  options: RequestOptions,
  {
    fetch = globalThis.fetch,
    sleep = (ms, signal) => delay(ms, undefined, { signal }),
    onProgress = () => {},
  }: RequestDeps = {},
): Promise<Summary> {
  const started = performance.now();
  const tally: Tally = { ok: 0, hits: 0, misses: 0, savedBytes: 0, failures: [] };
  const latenciesMs = { hit: [] as number[], miss: [] as number[] };

  async function request({ name, cutoutName }: Image) {
    const image = await Deno.readFile(join(options.inDir, name));
    const { png, cache, latencyMs, savedBytes } = await predict(name, image, options, { fetch, sleep });
    await writeAtomically(options.outDir, cutoutName, png);
    tally.ok++;
    tally.savedBytes += savedBytes;
    if (cache) latenciesMs[cache].push(latencyMs);
    tally.hits = latenciesMs.hit.length;
    tally.misses = latenciesMs.miss.length;
  }

  // All workers share one iterator, so no more than `concurrency` images are in memory.
  const queue = images.values();
  async function work() {
    for (const image of queue) {
      if (options.stop?.aborted) return;
      await request(image).catch((error: Error) => {
        tally.failures.push({ name: image.name, message: error.message });
      });
      onProgress(tally);
    }
  }
  await Promise.all(Array.from({ length: options.concurrency }, work));

  return {
    ...tally,
    files: images.length,
    elapsedMs: performance.now() - started,
    medianHitMs: median(latenciesMs.hit),
    medianMissMs: median(latenciesMs.miss),
  };
}

function median(values: number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

class UsageError extends Error {}

const wholeNumber = (min: number, max: number) =>
  z.string().refine(
    (text) => /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max,
    `must be a whole number from ${min} to ${max}`,
  ).transform(Number);

const Flags = z.object({
  host: z.string().regex(/^[\w.:-]+$/, "must be a host name or an IP address").default("127.0.0.1"),
  port: wholeNumber(1, 65_535).default(8000),
  token: z.string().regex(/^\S+$/, "must be a token, without spaces").optional(),
  in_images_dir: z.string("is required").min(1, "is required"),
  out_images_dir: z.string("is required").min(1, "is required"),
  matting: z.enum(["none", "refine", "hair"], "must be none, refine or hair").optional(),
  concurrency: wholeNumber(1, 1_000).default(4),
  timeout: wholeNumber(1, 86_400).default(60),
  retries: wholeNumber(0, 1_000).default(4),
});

/** @returns the options; undefined for `--help`. */
function parseOptions(args: string[]): RequestOptions | undefined {
  const string = { type: "string" } as const;
  const options = {
    help: { type: "boolean", short: "h" } as const,
    ...Object.fromEntries(Object.keys(Flags.shape).map((name) => [name, string])),
  };
  let values: Record<string, unknown>;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return undefined;

  const { data: flags, error } = Flags.safeParse(values);
  if (error) throw new UsageError(error.issues.map(({ path, message }) => `--${path.join()} ${message}`).join("; "));
  const server = `http://${flags.host.includes(":") ? `[${flags.host}]` : flags.host}:${flags.port}`;
  if (!URL.canParse(server)) throw new UsageError("--host must be a host name or an IP address");
  return {
    url: server,
    token: flags.token,
    matting: flags.matting,
    tryDigest: true,
    inDir: flags.in_images_dir,
    outDir: flags.out_images_dir,
    concurrency: flags.concurrency,
    timeoutMs: flags.timeout * 1000,
    retries: flags.retries,
  };
}

async function openFolders({ inDir, outDir }: RequestOptions) {
  const folder = await listFolder(inDir).catch((error: Error) => {
    throw new UsageError(`--in_images_dir cannot be read: ${error.message}`);
  });
  await Deno.mkdir(outDir, { recursive: true }).catch((error: Error) => {
    throw new UsageError(`--out_images_dir cannot be created: ${error.message}`);
  });
  // `photo.png` and its cutout have the same name: in the same folder, the cutout would replace the photo.
  if (await Deno.realPath(inDir) === await Deno.realPath(outDir)) {
    throw new UsageError("--in_images_dir and --out_images_dir must be different folders");
  }
  return folder;
}

/** File names and the server's messages are untrusted: they must not control the terminal or flood it. */
function printable(text: string): string {
  return text.replace(/\p{C}+/gu, " ").slice(0, 300);
}

function printSummary(summary: Summary, ignored: string[]) {
  for (const { name, message } of summary.failures) console.error(printable(`failed: ${name}: ${message}`));
  const unsent = summary.files - summary.ok - summary.failures.length;
  const after = (medianMs?: number) => medianMs === undefined ? "" : `, median ${Math.round(medianMs)} ms`;
  const names = ignored.length > 5 ? [...ignored.slice(0, 5), "…"] : ignored;
  console.log(`files     ${summary.files}`);
  if (ignored.length > 0) console.log(printable(`ignored   ${ignored.length}, not images: ${names.join(", ")}`));
  if (unsent > 0) console.log(`unsent    ${unsent}`);
  console.log(`ok        ${summary.ok}`);
  console.log(`hits      ${summary.hits}${after(summary.medianHitMs)}`);
  if (summary.savedBytes > 0) {
    console.log(`saved     ${(summary.savedBytes / 1e6).toFixed(1)} MB not sent, for images that the server knew`);
  }
  console.log(`misses    ${summary.misses}${after(summary.medianMissMs)}`);
  console.log(`failures  ${summary.failures.length}`);
  console.log(`elapsed   ${(summary.elapsedMs / 1000).toFixed(1)} s`);
}

/** @returns the exit code. */
async function main(args: string[]): Promise<number> {
  const options = parseOptions(args);
  if (!options) {
    console.log(USAGE);
    return 0;
  }
  const { images, ignored } = await openFolders(options);

  const bar = new SingleBar({
    format: "{note}[{bar}] {value}/{total} | hits {hits} | misses {misses} | failures {failures}",
    barsize: 24,
    hideCursor: true,
    noTTYOutput: true,
  });
  const interrupt = new AbortController();
  Deno.addSignalListener("SIGINT", () => {
    if (interrupt.signal.aborted) {
      bar.stop();
      Deno.exit(130);
    }
    interrupt.abort();
    // In the line of the bar: bar.stop() moves the cursor back there and would overwrite a line below it.
    bar.update({ note: "stopping (press Ctrl-C again to stop at once) " });
  });

  bar.start(images.length, 0, { note: "", hits: 0, misses: 0, failures: 0 });
  const summary = await requestAll(images, { ...options, stop: interrupt.signal }, {
    onProgress: ({ ok, hits, misses, failures }) =>
      bar.update(ok + failures.length, { hits, misses, failures: failures.length }),
  });
  bar.stop();

  printSummary(summary, ignored);
  if (interrupt.signal.aborted) return 130;
  return summary.failures.length > 0 ? 1 : 0;
}

if (import.meta.main) {
  const code = await main(Deno.args).catch((error: unknown) => {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${printable(error.message)}\n\n${USAGE}`);
    return 2;
  });
  Deno.exit(code);
}
