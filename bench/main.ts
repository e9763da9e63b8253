/**
 * `deno task bench [NAME...]`: measures a real server process (`deno task start`) with the real model. Without a name it
 * runs what needs no patience; `--help` lists the rest.
 */
import { parseArgs } from "node:util";
import { backpressure } from "./backpressure.ts";
import { type Bench, OptionValues } from "./bench.ts";
import { fidelity } from "./fidelity.ts";
import { hits } from "./hits.ts";
import { pool } from "./pool.ts";
import { soak } from "./soak.ts";
import { throughput } from "./throughput.ts";

const BENCHES: readonly Bench[] = [hits, throughput, pool, soak, backpressure, fidelity];
const BY_DEFAULT = [hits];

function usage(): string {
  const lines = BENCHES.flatMap(({ name, summary, duration, options = [] }) => [
    `  ${name.padEnd(14)}${summary} (${duration})`,
    ...options.map((option) => {
      const form = option.fallback === false ? `--${option.name}` : `--${option.name} N`;
      return `  ${"".padEnd(14)}  ${form.padEnd(18)}${option.summary}${option.fallback ? ` (${option.fallback})` : ""}`;
    }),
  ]);
  return [
    "Usage: deno task bench [NAME...] [options]",
    "",
    `Measures a real server process with the real model; without a name: ${BY_DEFAULT.map(({ name }) => name)}.`,
    "",
    ...lines,
    "",
    "The server takes its settings from the environment, as `deno task start` does: QUEUE_LIMIT=20 deno task bench …",
  ].join("\n");
}

/** @throws {Error} where the arguments are wrong. */
function parse(args: string[]): { help: boolean; benches: readonly Bench[]; values: OptionValues[] } {
  const declared = BENCHES.flatMap(({ options = [] }) => options);
  const { values: given, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: "boolean" },
      ...Object.fromEntries(
        declared.map(({ name, fallback }) => [name, { type: fallback === false ? "boolean" : "string" }] as const),
      ),
    },
  }) as { values: Record<string, string | boolean>; positionals: string[] };
  const benches = positionals.length === 0 ? BY_DEFAULT : positionals.map((name) => {
    const bench = BENCHES.find((bench) => bench.name === name);
    if (bench === undefined) throw new Error(`there is no bench "${name}"`);
    return bench;
  });
  const taken = new Set(["help", ...benches.flatMap(({ options = [] }) => options.map(({ name }) => name))]);
  for (const [name, value] of Object.entries(given)) {
    if (!taken.has(name)) throw new Error(`--${name} means nothing to ${benches.map(({ name }) => name).join(" or ")}`);
    if (typeof value === "string" && !/^[1-9]\d*$/.test(value)) throw new Error(`--${name} ${value} is not a count`);
  }
  const values = benches.map(({ options = [] }) =>
    new OptionValues(
      new Map(options.map(({ name, fallback }) => {
        const value = given[name] ?? fallback;
        return [name, typeof value === "string" ? Number(value) : value];
      })),
    )
  );
  return { help: given.help === true, benches, values };
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
  for (const [i, bench] of parsed.benches.entries()) {
    console.log(`\n## ${bench.name}: ${bench.summary}\n`);
    await bench.run(parsed.values[i]);
  }
}
