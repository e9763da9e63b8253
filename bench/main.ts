/**
 * `deno task bench [NAME...]`: measures a real server process (`deno task start`) with the real model. Without a name it
 * runs the benches of `docs/benchmarks.md`; `--help` lists the others.
 */
import { parseArgs } from "node:util";
import { backpressure } from "./backpressure.ts";
import { batch } from "./batch.ts";
import { type Bench, OptionValues, type Table } from "./bench.ts";
import { fidelity } from "./fidelity.ts";
import { fleet } from "./fleet.ts";
import { hits } from "./hits.ts";
import { machine } from "./machine.ts";
import { markdownTable } from "./measure.ts";
import { misses } from "./misses.ts";
import { models } from "./models.ts";
import { peer } from "./peer.ts";
import { pool } from "./pool.ts";
import { quality } from "./quality.ts";
import { soak } from "./soak.ts";
import { start } from "./start.ts";
import { stores } from "./stores.ts";

const BENCHES: readonly Bench[] = [
  start,
  misses,
  hits,
  stores,
  fleet,
  batch,
  soak,
  pool,
  backpressure,
  fidelity,
  quality,
  models,
  peer,
];
/** The benches of `docs/benchmarks.md`, with a short soak. */
const DEFAULT_BENCHES: readonly (readonly [Bench, Record<string, number>])[] = [
  [start, {}],
  [misses, {}],
  [hits, {}],
  [stores, {}],
  [fleet, {}],
  [batch, {}],
  [soak, { misses: 100 }],
];

const DOCS = new URL("../docs/benchmarks.md", import.meta.url);

function usage(): string {
  const lines = BENCHES.flatMap(({ name, summary, duration, options = [] }) => [
    `  ${name.padEnd(14)}${summary} (${duration})`,
    ...options.map(({ name, summary, fallback }) => {
      const form = {
        number: `--${name} N`,
        string: `--${name} TEXT`,
        boolean: `--${name}`,
      }[typeof fallback as string]!;
      return `  ${"".padEnd(14)}  ${form.padEnd(18)} ${summary}${fallback ? ` (${fallback})` : ""}`;
    }),
  ]);
  return [
    "Usage: deno task bench [NAME...] [options]",
    "",
    "Measures a real server process with the real model. Without a name it runs " +
    `${DEFAULT_BENCHES.map(([{ name }]) => name).join(", ")} (12 min).`,
    "",
    ...lines,
    "",
    "  --json            print JSON",
    "  --write-docs      also write docs/benchmarks.md; only without a name",
    "",
    "The server reads its settings from the environment, like `deno task start`: QUEUE_LIMIT=20 deno task bench …",
    "The benches that use Redis need redis-server, like the tests.",
  ].join("\n");
}

interface Run {
  readonly bench: Bench;
  readonly values: OptionValues;
}

/** @throws {Error} if the arguments are invalid. */
function parse(args: string[]): { help: boolean; json: boolean; writeDocs: boolean; runs: readonly Run[] } {
  const declared = BENCHES.flatMap(({ options = [] }) => options);
  const { values: given, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: "boolean" },
      json: { type: "boolean" },
      "write-docs": { type: "boolean" },
      ...Object.fromEntries(
        declared.map(({ name, fallback }) => [name, { type: fallback === false ? "boolean" : "string" }] as const),
      ),
    },
  }) as { values: Record<string, string | boolean>; positionals: string[] };
  const { help = false, json = false, "write-docs": writeDocs = false, ...options } = given;
  const names = positionals.length === 0 && "peer" in options ? [peer.name] : positionals;
  const chosen = names.length === 0 ? DEFAULT_BENCHES : names.map((name) => {
    const bench = BENCHES.find((bench) => bench.name === name);
    if (bench === undefined) throw new Error(`unknown bench "${name}"`);
    return [bench, {}] as const;
  });
  if (writeDocs && names.length > 0) {
    throw new Error("--write-docs writes all benches of the page: leave out the names");
  }
  const accepted = new Map(chosen.flatMap(([{ options = [] }]) => options.map((option) => [option.name, option])));
  for (const [name, value] of Object.entries(options)) {
    const option = accepted.get(name);
    if (option === undefined) {
      throw new Error(`--${name} is not an option of ${chosen.map(([{ name }]) => name).join(" or ")}`);
    }
    if (typeof option.fallback === "number" && !/^[1-9]\d*$/.test(`${value}`)) {
      throw new Error(`--${name} ${value} is not a positive whole number`);
    }
  }
  const runs = chosen.map(([bench, preset]) => ({
    bench,
    values: new OptionValues(
      new Map((bench.options ?? []).map(({ name, fallback }) => [
        name,
        options[name] ?? (preset as Record<string, number>)[name] ?? fallback,
      ])),
    ),
  }));
  return { help: help === true, json: json === true, writeDocs: writeDocs === true, runs };
}

/** The results of a bench. They go to standard output; progress goes to standard error. */
function asMarkdown({ name, summary }: Bench, tables: readonly Table[]): string {
  const shown = tables.map(({ caption, rows }) => `${caption}\n\n${markdownTable(rows)}`);
  return [`## ${name}: ${summary}`, ...shown].join("\n\n");
}

function page(sections: readonly string[]): string {
  const { date, cutcache, deno, os, processor, cores, memoryGb } = machine();
  return [
    "# Benchmarks",
    "`deno task bench --write-docs` writes this page; nothing is edited by hand. `deno task bench` repeats the " +
    "measurements on any machine (as root on Debian or Ubuntu it installs redis-server if it is missing), and `deno task " +
    "bench --help` lists the other benches. Times can differ by a third between machines, and from hour to hour on a " +
    "shared machine.",
    `${date}, Cutcache ${cutcache}, Deno ${deno}, ${os}, ${processor}, ${cores} cores, ${memoryGb} GiB.`,
    ...sections,
  ].join("\n\n").split("\n").map(wrapped).join("\n") + "\n";
}

const LINE_WIDTH = 120;

/** Prose in lines of this width; tables and headings as they are. */
function wrapped(line: string): string {
  if (/^[|#]/.test(line)) return line;
  return line.replaceAll(new RegExp(`(.{1,${LINE_WIDTH}})(?: |$)`, "g"), "$1\n").trimEnd();
}

let parsed: ReturnType<typeof parse>;
try {
  parsed = parse(Deno.args);
} catch (error) {
  console.error(`${(error as Error).message}\n\n${usage()}`);
  Deno.exit(2);
}
if (parsed.help) {
  console.log(usage());
} else {
  const sections: string[] = [];
  const results: { bench: string; tables: readonly Table[] }[] = [];
  for (const { bench, values } of parsed.runs) {
    const tables = await bench.run(values, (progress) => console.error(`${bench.name}: ${progress}`));
    results.push({ bench: bench.name, tables });
    sections.push(asMarkdown(bench, tables));
    if (!parsed.json) console.log(`\n${sections.at(-1)}\n`);
  }
  if (parsed.json) console.log(JSON.stringify({ machine: machine(), results }, undefined, 2));
  if (parsed.writeDocs) await Deno.writeTextFile(DOCS, page(sections));
}
// A closed engine leaves waiting threads behind, which would keep Deno running.
Deno.exit(0);
