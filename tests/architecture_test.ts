import assert from "node:assert/strict";
import { join } from "node:path/posix";

/*
 * The layers of `src/` and the arrows between them, as CONTRIBUTING.md has them: who may import whom.
 */

const ROOT = new URL("../", import.meta.url);

/** Source text by path, such as `src/cache/store.ts`. */
type Sources = ReadonlyMap<string, string>;

/** The layers that each layer may import. Files directly in `src/` are the layer `process`. */
type Arrows = ReadonlyMap<string, ReadonlySet<string>>;

Deno.test("architecture › no layer imports one that the map in CONTRIBUTING does not allow", async () => {
  const [sources, arrows] = await Promise.all([readSources(), readArrows()]);
  assert.deepEqual(forbiddenImports(sources, arrows), []);
  const rooms = new Set([...sources.keys()].map(roomOf));
  assert.deepEqual([...rooms].sort(), [...arrows.keys()].sort(), "every layer is in the map");
});

Deno.test("architecture › inside inference, no folder imports one that its map does not allow", async () => {
  const [sources, arrows] = await Promise.all([readSources("src/inference"), readArrows("layers:inference")]);
  const folderOf = (file: string) => file.split("/")[2];
  assert.deepEqual(forbiddenImports(sources, arrows, folderOf), []);
  assert.deepEqual([...new Set([...sources.keys()].map(folderOf))].sort(), [...arrows.keys()].sort());
});

Deno.test("architecture › no file, folder or layer imports in a circle", async () => {
  const [sources, arrows] = await Promise.all([readSources(), readArrows()]);
  assert.equal(circleIn(graphOf(sources, (file) => file)), undefined);
  assert.equal(circleIn(graphOf(sources, (file) => file.slice(0, file.lastIndexOf("/")))), undefined);
  assert.equal(circleIn(arrows), undefined);
});

Deno.test("architecture › a file over 300 lines says why in its first comment", async () => {
  const long = [...await readSources()].filter(([, text]) => text.split("\n").length > 301);
  for (const [file, text] of long) assert.match(text, /^\/(?:\*|\/)[^]{0,600}(?:one file|300 lines)/i, file);
});

Deno.test("architecture › a planted wrong import is found", async () => {
  const [sources, arrows] = await Promise.all([readSources(), readArrows()]);
  const plant = (file: string, line: string) => new Map([...sources, [file, `${line}\n${sources.get(file)}`]]);
  for (
    const line of [
      'import { Engine } from "../inference/engine/engine.ts";',
      'import type { Engine } from "../inference/engine/engine.ts";',
      'export * from "../inference/engine/engine.ts";',
      'const engine = await import("../inference/engine/engine.ts");',
      'const url = import.meta.resolve("../inference/engine/engine.ts");',
    ]
  ) {
    assert.deepEqual(
      forbiddenImports(plant("src/cache/store.ts", line), arrows),
      ["src/cache/store.ts imports src/inference/engine/engine.ts: cache may not import inference"],
      line,
    );
  }
  const circle = plant("src/cache/keys.ts", 'import { MemoryStore } from "./memory.ts";');
  assert.deepEqual(circleIn(graphOf(circle, (file) => file)), [
    "src/cache/keys.ts",
    "src/cache/memory.ts",
    "src/cache/keys.ts",
  ]);
});

/** The table between two markers in CONTRIBUTING.md: `| layer | may import | … |`, layers in backticks. */
async function readArrows(marker = "layers"): Promise<Arrows> {
  const text = await Deno.readTextFile(new URL("CONTRIBUTING.md", ROOT));
  const table = text.split(`<!-- ${marker} -->`)[1]?.split(`<!-- /${marker} -->`)[0] ?? "";
  const rows = table.split("\n").filter((line) => /^\| *`/.test(line)).map((line) => line.split("|").slice(1));
  const namesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
  return new Map(rows.map(([layer, mayImport]) => [namesIn(layer)[0].split("/").at(-1)!, new Set(namesIn(mayImport))]));
}

async function readSources(folder = "src"): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for await (const { name, isDirectory } of Deno.readDir(new URL(`${folder}/`, ROOT))) {
    const path = `${folder}/${name}`;
    if (isDirectory) { for (const entry of await readSources(path)) sources.set(...entry); }
    else if (name.endsWith(".ts")) sources.set(path, await Deno.readTextFile(new URL(path, ROOT)));
  }
  return sources;
}

/** The files of `src/` that a file imports, types and workers included. */
function importsOf(file: string, text: string): string[] {
  const specifiers = text.matchAll(/(?:\bfrom|^import|\bimport\(|\bimport\.meta\.resolve\()\s*"(\.[^"]+\.ts)"/gm);
  return [...specifiers].map(([, specifier]) => join(file, "..", specifier)).filter((path) => path.startsWith("src/"));
}

function roomOf(file: string): string {
  const [, room, ...rest] = file.split("/");
  return rest.length === 0 ? "process" : room;
}

function forbiddenImports(sources: Sources, arrows: Arrows, room = roomOf): string[] {
  return [...sources].flatMap(([file, text]) =>
    importsOf(file, text).filter((imported) => sources.has(imported)).flatMap((imported) => {
      const [from, to] = [room(file), room(imported)];
      if (from === to || arrows.get(from)?.has(to)) return [];
      return [`${file} imports ${imported}: ${from} may not import ${to}`];
    })
  );
}

/** What imports what, with files grouped by a name. */
function graphOf(sources: Sources, group: (file: string) => string): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const [file, text] of sources) {
    const from = group(file);
    const targets = graph.get(from) ?? new Set();
    for (const imported of importsOf(file, text)) if (group(imported) !== from) targets.add(group(imported));
    graph.set(from, targets);
  }
  return graph;
}

/** A way through the graph that ends where it began; undefined if there is none. */
function circleIn(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const finished = new Set<string>();
  const visit = (node: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (finished.has(node)) return undefined;
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next, [...path, node]);
      if (circle) return circle;
    }
    finished.add(node);
    return undefined;
  };
  for (const node of [...graph.keys()].sort()) {
    const circle = visit(node, []);
    if (circle) return circle;
  }
  return undefined;
}
