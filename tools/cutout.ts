/**
 * Cuts out files and folders with a Cutcache server. This one file needs nothing else, so it also runs without a checkout:
 * `deno run -A cutout.ts …`, and `node cutout.ts …` from Node.js 22.18.
 *
 * @example deno task cutout photos --recursive --out cutouts --canvas 1:1
 */
import { createHash, randomUUID } from "node:crypto";
import { glob, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { Buffer } from "node:buffer";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

const USAGE = `Usage: cutout FILES… [--out FOLDER] [options]

Sends images to a Cutcache server and writes their cutouts. FILES are images, folders and globs; "-" is standard input.

  --out FOLDER        where to write (cutouts); "-" is standard output, for one image
  --recursive         also the folders inside folders; their tree is kept
  --format FORMAT     png, webp, jpeg, zip or auto (png)
  --skip-existing     leave out images whose cutout exists
  --watch             stay, and cut out new and changed images of the folders
  --server URL        the server (CUTCACHE_URL, or else http://localhost:8000)
  --concurrency N     images at the same time (4)
  --retries N         how often a busy server is asked again (4)
  --json              print the summary as JSON
  --help              print this text

Every option of the API works too: --background white, --canvas 2000x2000, --crop, --refine, --model NAME …
The token is read from CUTCACHE_TOKEN.

Exit code: 0 all images succeeded, 1 some failed, 2 wrong usage, no images, or no server.`;

const EXTENSIONS = new Set(
  [".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"],
);

/** Options of the command itself. All others are options of the API. */
const OWN = {
  out: { type: "string", default: "cutouts" },
  recursive: { type: "boolean" },
  "skip-existing": { type: "boolean" },
  watch: { type: "boolean" },
  server: { type: "string" },
  concurrency: { type: "string", default: "4" },
  retries: { type: "string", default: "4" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Options of the API that are set by their name alone. */
const FLAGS = ["crop", "refine", "shadow", "smooth", "solid", "upscale"];

const WATCH_EVERY_MS = 1000;
const MAX_WAIT_MS = 60_000;

/** An image and the path of its cutout below the output folder, without an extension. */
interface Task {
  readonly path: string;
  readonly target: string;
}

interface Summary {
  files: number;
  ok: number;
  skipped: number;
  hits: number;
  failures: { file: string; message: string }[];
}

class UsageError extends Error {}

/** No further image can succeed: the server refuses the token, or cannot be reached. */
class FatalError extends Error {}

type Settings = ReturnType<typeof parse>;

function parse(args: string[]) {
  const names = args.filter((arg) => arg.startsWith("--")).map((arg) => arg.slice(2).split("=")[0]);
  const api = names.filter((name) => !(name in OWN));
  const apiOptions = Object.fromEntries(
    api.map((name) => [name, { type: FLAGS.includes(name) ? "boolean" : "string" } as const]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args, options: { ...OWN, ...apiOptions }, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const values = parsed.values as Record<string, string | boolean | undefined>;
  const query = new URLSearchParams(api.map((name) => [name.replaceAll("-", "_"), `${values[name]}`]));
  const number = (name: string, minimum: number) => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < minimum) throw new UsageError(`--${name} must be a number from ${minimum}`);
    return value;
  };
  const server = `${values.server ?? process.env.CUTCACHE_URL ?? "http://localhost:8000"}`.replace(/\/$/, "");
  if (!/^https?:\/\/./.test(server) || !URL.canParse(server)) {
    throw new UsageError(`--server ${server} is not an http(s) URL`);
  }
  return {
    inputs: parsed.positionals,
    out: `${values.out}`,
    recursive: values.recursive === true,
    skipExisting: values["skip-existing"] === true,
    watch: values.watch === true,
    json: values.json === true,
    help: values.help === true,
    concurrency: number("concurrency", 1),
    retries: number("retries", 0),
    server,
    query,
    extension: extensionOf(query.get("format") ?? "png"),
    token: process.env.CUTCACHE_TOKEN,
  };
}

function extensionOf(format: string): string {
  const lower = format.toLowerCase();
  return lower === "jpeg" ? "jpg" : lower;
}

/** Hidden files are no images: macOS writes `._photo.jpg` beside `photo.jpg`. */
function isImage(path: string): boolean {
  return EXTENSIONS.has(extname(path).toLowerCase()) && !basename(path).startsWith(".");
}

/** @throws {UsageError} if an input does not exist. */
async function findTasks({ inputs, recursive, out }: Settings): Promise<Task[]> {
  const found = new Map<string, string>();
  for (const input of inputs) {
    const paths = /[*?[{]/.test(input) ? await Array.fromAsync(glob(input)) : [input];
    for (const path of paths) {
      const info = await stat(path).catch(() => {
        throw new UsageError(`${path} does not exist`);
      });
      if (info.isFile()) found.set(path, basename(path));
      else for (const file of await imagesIn(path, recursive, resolve(out))) found.set(file, relative(path, file));
    }
  }
  return nameTargets([...found].map(([path, target]) => ({ path, target })));
}

async function imagesIn(folder: string, recursive: boolean, except: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = join(folder, entry.name);
    if (entry.isFile() && isImage(path)) files.push(path);
    if (entry.isDirectory() && recursive && resolve(path) !== except) files.push(...await imagesIn(path, true, except));
  }
  return files;
}

/** `a.jpg` becomes `a`; if `a.png` is there too, both keep their extensions. */
function nameTargets(tasks: Task[]): Task[] {
  const stemOf = (target: string) => target.slice(0, target.length - extname(target).length);
  const counts = new Map<string, number>();
  for (const { target } of tasks) {
    const stem = stemOf(target).toLowerCase();
    counts.set(stem, (counts.get(stem) ?? 0) + 1);
  }
  return tasks.map(({ path, target }) => {
    const stem = stemOf(target);
    return { path, target: counts.get(stem.toLowerCase()) === 1 ? stem : target };
  });
}

/** The cutout's file and whether the server had it. Asks by the image's digest before it uploads anything. */
async function cutOut(image: Uint8Array<ArrayBuffer>, settings: Settings): Promise<{ file: Uint8Array; hit: boolean }> {
  const query = settings.query.size > 0 ? `?${settings.query}` : "";
  const digest = createHash("sha256").update(image).digest("hex");
  const known = await request(`/cutouts/${digest}${query}`, { headers: { Prefer: "handling=lenient" } }, settings);
  const response = known.status === 200
    ? known
    : await request(`/cutouts${query}`, { method: "POST", body: image }, settings);
  const file = new Uint8Array(await response.arrayBuffer());
  if (response.status === 200) return { file, hit: /; hit\b/.test(response.headers.get("Cache-Status") ?? "") };
  const problem = parseProblem(new TextDecoder().decode(file)) ?? `HTTP ${response.status}`;
  throw response.status === 401 ? new FatalError(`${problem}. Set CUTCACHE_TOKEN.`) : new Error(problem);
}

function parseProblem(text: string): string | undefined {
  try {
    const { code, detail } = JSON.parse(text);
    return `${code}: ${detail}`;
  } catch {
    return undefined;
  }
}

async function request(path: string, init: RequestInit, { server, token, retries }: Settings): Promise<Response> {
  const headers = { ...init.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  for (let attempt = 0;; attempt++) {
    let response: Response;
    try {
      response = await fetch(server + path, { ...init, headers });
    } catch (error) {
      const { message, cause } = error as Error;
      throw new FatalError(`${server} cannot be reached: ${cause instanceof Error ? cause.message : message}`);
    }
    if (![429, 503].includes(response.status) || attempt === retries) return response;
    await response.body?.cancel();
    const seconds = Number(response.headers.get("Retry-After")) || 2 ** attempt;
    await delay(Math.min(MAX_WAIT_MS, seconds * 1000));
  }
}

/** Cuts out all tasks, at most `concurrency` at the same time. A {@link FatalError} ends the run. */
async function runTasks(tasks: Task[], settings: Settings, summary: Summary): Promise<void> {
  const queue = tasks.values();
  let fatal: unknown;
  async function work() {
    for (const task of queue) {
      if (fatal !== undefined) return;
      try {
        await runTask(task, settings, summary);
      } catch (error) {
        if (error instanceof FatalError) fatal ??= error;
        else summary.failures.push({ file: task.path, message: (error as Error).message });
      }
    }
  }
  summary.files += tasks.length;
  await Promise.all(Array.from({ length: settings.concurrency }, work));
  if (fatal !== undefined) throw fatal;
}

async function runTask({ path, target }: Task, settings: Settings, summary: Summary): Promise<void> {
  const file = join(settings.out, `${target}.${settings.extension}`);
  if (settings.skipExisting && await stat(file).then(() => true, () => false)) {
    summary.skipped++;
    return;
  }
  const { file: bytes, hit } = await cutOut(new Uint8Array(await readFile(path)), settings);
  await writeAtomically(file, bytes);
  summary.ok++;
  if (hit) summary.hits++;
}

/** The file's name never shows a part of it. */
async function writeAtomically(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${randomUUID()}.part`);
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** One image from standard input or a file to standard output. */
async function pipe([input]: string[], settings: Settings): Promise<void> {
  const chunks = input === "-" ? await Array.fromAsync(process.stdin) : [await readFile(input)];
  const { file } = await cutOut(new Uint8Array(Buffer.concat(chunks)), settings);
  await new Promise<void>((done, fail) => process.stdout.write(file, (error) => error ? fail(error) : done()));
}

/** Looks for new and changed images again and again. Polling works on every file system, also on network drives. */
async function watch(settings: Settings, summary: Summary, seen: Map<string, number>): Promise<never> {
  for (;;) {
    const changed: Task[] = [];
    for (const task of await findTasks(settings)) {
      const { mtimeMs } = await stat(task.path);
      // A file that is still being written has a new time at the next look.
      if (seen.get(task.path) !== mtimeMs && Date.now() - mtimeMs > WATCH_EVERY_MS) {
        changed.push(task);
        seen.set(task.path, mtimeMs);
      }
    }
    await runTasks(changed, settings, summary);
    for (const { path } of changed) console.error(`done: ${printable(path)}`);
    await delay(WATCH_EVERY_MS);
  }
}

/** File names and the server's messages must not control the terminal. */
function printable(text: string): string {
  return text.replace(/\p{C}+/gu, " ").slice(0, 300);
}

/** @returns the exit code */
async function main(args: string[]): Promise<number> {
  const settings = parse(args);
  if (settings.help) return console.log(USAGE), 0;
  const { inputs, out } = settings;
  if (inputs.length === 0) throw new UsageError("name images, folders or globs");
  if (out === "-" || inputs.includes("-")) {
    if (out !== "-" || inputs.length !== 1) throw new UsageError('"--out -" takes one image, and "-" needs "--out -"');
    await pipe(inputs, settings);
    return 0;
  }
  const summary: Summary = { files: 0, ok: 0, skipped: 0, hits: 0, failures: [] };
  if (settings.watch) return await watch(settings, summary, new Map());
  const tasks = await findTasks(settings);
  if (tasks.length === 0) {
    throw new UsageError(`no images in ${inputs.join(", ")}; --recursive looks into folders as well`);
  }
  try {
    await runTasks(tasks, settings, summary);
  } finally {
    for (const { file, message } of summary.failures) console.error(printable(`failed: ${file}: ${message}`));
    const { files, ok, skipped, hits, failures } = summary;
    if (settings.json) console.log(JSON.stringify(summary));
    else {console.log(
        `${ok} of ${files} cut out, ${hits} from the cache, ${skipped} skipped, ${failures.length} failed`,
      );}
  }
  return summary.failures.length > 0 ? 1 : 0;
}

main(process.argv.slice(2)).catch((error: Error) => {
  if (error instanceof UsageError) console.error(`${printable(error.message)}\n\n${USAGE}`);
  else console.error(printable(error instanceof FatalError ? error.message : error.stack ?? error.message));
  return 2;
}).then((code) => process.exit(code));
