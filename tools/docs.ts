/**
 * Writes the tables that the code knows into the documents, between their markers.
 *
 * @example deno task docs
 */
import { withTables } from "./docs/tables.ts";

const ROOT = new URL("..", import.meta.url);

const names = ["README.md"];
for await (const { name } of Deno.readDir(new URL("docs/", ROOT))) if (name.endsWith(".md")) names.push(`docs/${name}`);

for (const name of names) {
  const file = new URL(name, ROOT);
  const text = await Deno.readTextFile(file);
  const updated = withTables(text);
  if (updated === text) continue;
  await Deno.writeTextFile(file, updated);
  console.log(name);
}
