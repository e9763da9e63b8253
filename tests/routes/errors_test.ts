import assert from "node:assert/strict";
import { errorCodes } from "../../src/base/errors.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("errors › every documented code is used", async () => {
  const sources: string[] = [];
  async function read(folder: URL) {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) await read(new URL(`${name}/`, folder));
      // Codes of images and of the engine appear where their errors are thrown.
      else if (name.endsWith(".ts")) sources.push(await Deno.readTextFile(new URL(name, folder)));
    }
  }
  await read(new URL("src/", ROOT));
  const thrown = sources.join("\n").replaceAll(/(?:problems|errorResponses)\([^)]*\)/g, "");
  for (const code of Object.keys(errorCodes)) assert.ok(thrown.includes(`"${code}"`), code);
});
