import { z } from "zod";
import denoJson from "../../deno.json" with { type: "json" };
import { errorCodes } from "../../src/base/errors.ts";
import { type Config, settingNames, settings } from "../../src/config.ts";
import { renderOptionsSchema } from "../../src/render/options.ts";

/** The tables that the code knows, in Markdown, by the name in their markers. */
export const tables: Readonly<Record<string, () => string>> = {
  errors: errorsTable,
  main_settings: () => settingsTable(MAIN_SETTINGS),
  options: optionsTable,
  permissions: permissionsTable,
  settings: () => settingsTable(settingNames),
};

/** The settings that most servers need, for the README. */
const MAIN_SETTINGS: readonly (keyof Config)[] = [
  "PORT",
  "CACHE_DIR",
  "UPSTASH_REDIS_REST_URL",
  "UPSTASH_REDIS_REST_TOKEN",
  "MODEL",
  "API_TOKENS",
  "ADMIN_TOKEN",
  "RATE_LIMIT",
];

/**
 * Replaces the text between each `<!-- docs:NAME -->` and `<!-- /docs:NAME -->` with the table of that name.
 * @throws {Error} if there is no such table, or a marker has no end.
 */
export function withTables(markdown: string): string {
  return markdown.replaceAll(/<!-- docs:(\w+) -->\n(?:([^]*?\n)?<!-- \/docs:\1 -->)?/g, (block, name: string) => {
    const table = tables[name];
    if (table === undefined) throw new Error(`there is no table "${name}"`);
    const end = `<!-- /docs:${name} -->`;
    if (!block.endsWith(end)) throw new Error(`"${end}" is missing`);
    return `<!-- docs:${name} -->\n\n${table()}\n\n${end}`;
  });
}

function settingsTable(names: readonly (keyof Config)[]): string {
  const defaults = settings.parse({});
  const rows = names.map((name) => [
    code(name),
    codeUnlessEmpty(defaults[name]?.toString()),
    settings.shape[name].description!,
  ]);
  return markdownTable(["setting", "default", "meaning"], rows);
}

function errorsTable(): string {
  const rows = Object.entries(errorCodes).map(([name, { status, title }]) => [`${status}`, code(name), title]);
  return markdownTable(["status", "code", "meaning"], rows);
}

interface OptionSchema {
  description: string;
  enum?: string[];
  anyOf?: { type: string; minimum?: number; maximum?: number }[];
  example?: string;
}

function optionsTable(): string {
  const options = renderOptionsSchema.in;
  const defaults: Record<string, unknown> = options.parse({});
  const { properties } = z.toJSONSchema(options, { io: "input", unrepresentable: "any" });
  const rows = Object.entries(properties as unknown as Record<string, OptionSchema>).map(([name, schema]) => [
    code(name),
    valuesOf(schema),
    codeUnlessEmpty(defaults[name]?.toString()),
    schema.description,
  ]);
  return markdownTable(["option", "values", "default", "meaning"], rows);
}

function valuesOf(
  { enum: values, anyOf: [first] = [], example }: { [K in keyof OptionSchema]: OptionSchema[K] },
): string {
  if (values !== undefined) return values.map(code).join(", ");
  if (first?.type === "boolean") return "`true`, `false`";
  if (first?.type === "number") return `${first.minimum} to ${first.maximum}`;
  return example === undefined ? "text" : `text, such as ${code(example)}`;
}

/** What the server needs each permission for. */
const PURPOSES: Readonly<Record<string, string>> = {
  read: "The sources, the models and the page. The start task adds `CACHE_DIR`, `MODEL_PATH` and `MODEL_MANIFEST`.",
  sys: "To find how much memory the machine has, which limits the size of images.",
  env: "The settings, those of OpenTelemetry, and three variables that the Redis client reads.",
};

function permissionsTable(): string {
  const settingsSet: ReadonlySet<string> = new Set(settingNames);
  const rows = Object.entries(denoJson.permissions.start).map(([name, value]) => {
    const allowed = value.filter((item) => !settingsSet.has(item)).map(code).join(", ");
    return [code(name), name === "env" ? `the settings, ${allowed}` : allowed, PURPOSES[name]];
  });
  const write = [code("write"), code("CACHE_DIR"), "The SQLite cache. Granted by the start task."];
  const net = [
    code("net"),
    "`HOST` and `PORT`, and the hosts of `UPSTASH_REDIS_REST_URL`, `CDN_PURGE_URL` and the OpenTelemetry collector; all with `ALLOW_IMAGE_URLS`",
    "To listen, and to reach Redis, the CDN, the collector and image URLs. Granted by the start task.",
  ];
  return markdownTable(["permission", "allowed", "purpose"], [...rows, net, write]);
}

function code(text: string): string {
  return `\`${text}\``;
}

function codeUnlessEmpty(text = ""): string {
  return text && code(text);
}

/** Rows without padding: a longer cell changes one line, not the whole table. */
function markdownTable(head: string[], rows: readonly string[][]): string {
  const lines = [head, head.map(() => "---"), ...rows];
  return lines.map((cells) => `|${cells.map((cell) => cell && ` ${cell.replaceAll("|", "\\|")}`).join(" |")} |`).join(
    "\n",
  );
}
