/**
 * Lists the models that have a manifest, and downloads their files.
 *
 * @example deno task model pull isnet-general-use
 */
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
// @ts-types="@types/cli-progress"
import { SingleBar } from "cli-progress";
import { z } from "zod";
import { manifestSchema } from "../src/inference/model/manifest.ts";
import { digestOfFile, download, DownloadError } from "./model/download.ts";

const MODELS = fileURLToPath(new URL("../static/models", import.meta.url));

const USAGE = `Usage: deno task model list
       deno task model pull NAME [options]

Lists the models that have a manifest, or downloads the file of a model and checks its digest.
An interrupted download resumes where it stopped.

  --from URL       download from this URL (a mirror) instead of the manifest's
  --to DIR         folder for NAME.onnx, created if missing (static/models)
  --manifest FILE  use this manifest instead of static/models/NAME.json; NAME is then optional
  --help           show this text

Exit code: 0 if the file is up to date, 1 if the download failed, 2 for invalid arguments.`;

class UsageError extends Error {}

/** The fields of a manifest that a download needs. */
const Source = z.object({
  name: manifestSchema.shape.name,
  licence: manifestSchema.shape.licence,
  url: manifestSchema.shape.url,
  digest: manifestSchema.shape.digest,
});

type Source = z.infer<typeof Source>;

/** @throws {UsageError} with the path of a file that is not a manifest. */
async function readSource(path: string): Promise<Source> {
  const manifest = await Deno.readTextFile(path).then(JSON.parse).catch((error: Error) => {
    throw new UsageError(`${path} cannot be read: ${error.message}`);
  });
  const { data, error } = Source.safeParse(manifest);
  if (error) throw new UsageError(`${path} is not a model manifest:\n${z.prettifyError(error)}`);
  return data;
}

function knownNames(): string[] {
  return [...Deno.readDirSync(MODELS)].map(({ name }) => name).filter((name) =>
    name.endsWith(".json") && !name.endsWith(".plan.json")
  )
    .map((name) => basename(name, ".json")).sort();
}

async function list(): Promise<void> {
  const names = knownNames();
  const width = Math.max(...names.map((name) => name.length));
  for (const name of names) {
    const { licence, digest } = await readSource(join(MODELS, `${name}.json`));
    const actual = await digestOfFile(join(MODELS, `${name}.onnx`), digest);
    const state = actual === undefined
      ? "not installed"
      : actual === digest
      ? "installed"
      : "installed, digest differs";
    console.log(`${name.padEnd(width)}  ${licence.padEnd(10)}  ${state}`);
  }
}

interface PullFlags {
  from?: string;
  to?: string;
  manifest?: string;
}

async function pull(name: string | undefined, flags: PullFlags): Promise<void> {
  if (flags.manifest === undefined && !knownNames().includes(name ?? "")) {
    const problem = name === undefined ? "missing model name" : `unknown model ${JSON.stringify(name)}`;
    throw new UsageError(`${problem}\nknown models: ${knownNames().join(", ")}`);
  }
  const source = await readSource(flags.manifest ?? join(MODELS, `${name}.json`));
  const url = flags.from ?? source.url;
  if (url === undefined) throw new UsageError(`the manifest of ${source.name} has no url; pass one with --from`);
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw new UsageError("--from must be an http or https URL");
  }
  const file = `${name ?? source.name}.onnx`;
  if (basename(file) !== file) throw new UsageError(`${JSON.stringify(file)} is not a file name`);
  const path = join(flags.to ?? MODELS, file);

  const actual = await digestOfFile(path, source.digest);
  if (actual === source.digest) return console.log(`${path} is already up to date (${actual})`);
  if (actual !== undefined) {
    throw new DownloadError(`${path} exists with digest ${actual}, not ${source.digest}; remove it first`);
  }
  await Deno.mkdir(dirname(path), { recursive: true });
  const { bytes, resumedAt } = await withBar((onProgress) =>
    download({ url, path, digest: source.digest }, { onProgress })
  );
  const resumed = resumedAt > 0 ? `, of which ${megabytes(resumedAt)} from an earlier download` : "";
  console.log(`${path}: ${megabytes(bytes)}${resumed}, ${source.digest}, ${source.licence}`);
}

async function withBar<T>(use: (onProgress: (bytes: number, total: number | undefined) => void) => Promise<T>) {
  const bar = new SingleBar({
    format: "[{bar}] {megabytes} of {all}",
    barsize: 24,
    hideCursor: true,
    noTTYOutput: true,
  });
  bar.start(1, 0, { megabytes: megabytes(0), all: "?" });
  try {
    return await use((bytes, total) => {
      bar.setTotal(total ?? Math.max(1, bytes));
      bar.update(bytes, { megabytes: megabytes(bytes), all: total === undefined ? "?" : megabytes(total) });
    });
  } finally {
    bar.stop();
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Texts from servers and files are untrusted: they must not control the terminal. */
function printable(text: string): string {
  return text.replace(/[^\P{C}\n]+/gu, " ").slice(0, 2000);
}

async function main(args: string[]): Promise<void> {
  const string = { type: "string" } as const;
  const options = { from: string, to: string, manifest: string, help: { type: "boolean", short: "h" } } as const;
  const { values, positionals } = (() => {
    try {
      return parseArgs({ args, options, allowPositionals: true });
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  })();
  const [command, name, ...rest] = positionals;
  if (values.help) return console.log(USAGE);
  if (rest.length > 0) throw new UsageError(`too many arguments: ${rest.join(" ")}`);
  if (command === "pull") return await pull(name, values);
  if (command === "list" && name === undefined) return await list();
  throw new UsageError(command === undefined ? "missing command" : `unknown command ${positionals.join(" ")}`);
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${printable(error.message)}\n\n${USAGE}`);
      Deno.exit(2);
    }
    if (!(error instanceof DownloadError)) throw error;
    console.error(printable(error.message));
    Deno.exit(1);
  }
}
