import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { tables, withTables } from "../../tools/docs/tables.ts";
import { readDocuments, ROOT } from "./documents.ts";

Deno.test("docs › the tables that the code knows are up to date", async () => {
  const documents = await readDocuments();
  for (const { name, text } of documents) {
    assert.equal(text, withTables(text), `${name} is stale: run deno task docs`);
  }
  const shown = documents.flatMap(({ text }) => [...text.matchAll(/<!-- docs:(\w+) -->/g)].map(([, table]) => table));
  assert.deepEqual(shown.sort(), Object.keys(tables).sort());
});

Deno.test("docs › a marker without an end, or for no table, is an error", () => {
  assert.throws(() => withTables("<!-- docs:errors -->\n"), /"<!-- \/docs:errors -->" is missing/);
  assert.throws(() => withTables("<!-- docs:nothing -->\n<!-- /docs:nothing -->"), /no table "nothing"/);
});

Deno.test("docs › the README is short, and the index lists every document", async () => {
  const documents = await readDocuments();
  const { text: readme } = documents.find(({ name }) => name === "README.md")!;
  assert.ok(readme.split("\n").length <= 150);
  assert.ok(new TextEncoder().encode(readme).length <= 9 * 1024);
  const { text: index } = documents.find(({ name }) => name === "docs/README.md")!;
  for (const { name } of documents) {
    if (!name.startsWith("docs/") || name === "docs/README.md") continue;
    assert.ok(index.includes(`](${name.slice("docs/".length)})`), `docs/README.md does not list ${name}`);
  }
});

Deno.test("docs › every link inside the project leads to a file and a heading", async () => {
  const documents = await readDocuments();
  const anchors = new Map(documents.map(({ name, text }) => [name, anchorsOf(text)]));
  for (const { name, text } of documents) {
    for (const [, link] of withoutCode(text).matchAll(/(?:\]\(|<img src=")([^)"\s]+)/g)) {
      if (/^https?:/.test(link)) continue;
      const [path, anchor] = link.split("#");
      const target = path === "" ? name : join(dirname(name), path);
      await assert.doesNotReject(Deno.stat(new URL(target, ROOT)), `${name}: ${link} leads nowhere`);
      if (anchor !== undefined) assert.ok(anchors.get(target)?.has(anchor), `${name}: ${link} names no heading`);
    }
  }
});

Deno.test("docs › tables are not padded", async () => {
  for (const { name, text } of await readDocuments()) {
    for (const line of withoutCode(text).split("\n")) {
      if (line.startsWith("|")) assert.doesNotMatch(line, /[^|\s] {2,}|\| {2,}[^|\s]|-{4,}/, name);
    }
  }
});

/** The anchors that GitHub gives to headings: lower case, no punctuation, hyphens for spaces. */
function anchorsOf(markdown: string): Set<string> {
  const headings = withoutCode(markdown).matchAll(/^#+ (.+)$/gm);
  return new Set(
    headings.map(([, heading]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")),
  );
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[^]*?^```$/gm, "");
}
