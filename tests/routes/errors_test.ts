import assert from "node:assert/strict";
import { errorCodes, errorsTable } from "../../src/base/errors.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("errors › the README's table of errors is the one that errors.ts describes", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", ROOT));
  const cells = (text: string) =>
    text.split("\n").filter((line) => /^\| \d{3} /.test(line)).map((line) => line.split(/ *\| */));
  const section = readme.split("### Errors")[1].split(/\n##+ /)[0];
  assert.equal(cells(section).length, Object.keys(errorCodes).length);
  assert.deepEqual(cells(section), cells(errorsTable()));
});

Deno.test("errors › every code that is described is sent somewhere", async () => {
  const sources: string[] = [];
  async function read(folder: URL) {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) await read(new URL(`${name}/`, folder));
      // Codes of images and of the engine are listed with the errors that bring them.
      else if (name.endsWith(".ts")) sources.push(await Deno.readTextFile(new URL(name, folder)));
    }
  }
  await read(new URL("src/", ROOT));
  const thrown = sources.join("\n").replaceAll(/(?:problems|errorResponses)\([^)]*\)/g, "");
  for (const code of Object.keys(errorCodes)) assert.ok(thrown.includes(`"${code}"`), code);
});
