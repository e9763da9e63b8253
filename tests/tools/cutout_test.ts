import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const SCRIPT = new URL("../../tools/cutout.ts", import.meta.url).pathname;
const TOKEN = "a-token-of-a-client";

interface RunOptions {
  cwd: string;
  url: string;
  token?: string;
  input?: Uint8Array<ArrayBuffer>;
}

async function cutout(args: string[], { cwd, url, token = TOKEN, input }: RunOptions) {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", SCRIPT, ...args],
    cwd,
    env: { CUTCACHE_URL: url, CUTCACHE_TOKEN: token, NO_COLOR: "1", NO_PROXY: "127.0.0.1" },
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (input !== undefined) {
    const writer = process.stdin.getWriter();
    await writer.write(input);
    await writer.close();
  }
  const { code, stdout, stderr } = await process.output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, stdout, text, errors };
}

async function filesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) names.push(...(await filesIn(`${folder}/${name}`)).map((inner) => `${name}/${inner}`));
    else names.push(name);
  }
  return names.sort();
}

Deno.test("cutout › files, globs and folders, with the options of the API", async (t) => {
  await using server = await TestServer.quick({ API_TOKENS: TOKEN });
  const cwd = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(cwd, { recursive: true }) };
  const images = await Promise.all([1, 2, 3].map((seed) => discImage(seed)));
  await Deno.mkdir(`${cwd}/photos/day 1`, { recursive: true });
  await Deno.mkdir(`${cwd}/empty`);
  await Deno.writeFile(`${cwd}/photos/a.PNG`, images[0]);
  await Deno.writeFile(`${cwd}/photos/a.jfif`, images[1]);
  await Deno.writeFile(`${cwd}/photos/day 1/b.png`, images[2]);
  await Deno.writeTextFile(`${cwd}/photos/._a.png`, "not an image");
  await Deno.writeTextFile(`${cwd}/photos/notes.txt`, "not an image");
  const options = { cwd, url: server.url };

  await t.step("a folder with its tree, and its summary as JSON", async () => {
    const { code, text, errors } = await cutout(["photos", "--recursive", "--out", "out", "--json"], options);
    assert.equal(code, 0, errors);
    assert.deepEqual(JSON.parse(text), { files: 3, ok: 3, skipped: 0, hits: 0, failures: [] });
    assert.deepEqual(await filesIn(`${cwd}/out`), ["a.PNG.png", "a.jfif.png", "day 1/b.png"]);
  });

  await t.step("other options need no upload and no inference", async () => {
    const args = [
      "photos/*.*",
      "--out",
      "square",
      "--canvas",
      "64x64",
      "--background=white",
      "--format",
      "jpg",
      "--crop",
    ];
    await Deno.remove(`${cwd}/photos/notes.txt`);
    await Deno.remove(`${cwd}/photos/._a.png`);
    const { code, errors } = await cutout(args, options);
    assert.equal(code, 0, errors);
    assert.deepEqual(await filesIn(`${cwd}/square`), ["a.PNG.jpg", "a.jfif.jpg"]);
    const { width, height } = await decode(await Deno.readFile(`${cwd}/square/a.PNG.jpg`), { maxPixels: 1e6 });
    assert.deepEqual([width, height], [64, 64]);
    assert.equal(await server.inferences(), 3);
  });

  await t.step("--skip-existing", async () => {
    const { text } = await cutout(["photos", "--out", "out", "--skip-existing", "--json"], options);
    assert.deepEqual(JSON.parse(text), { files: 2, ok: 0, skipped: 2, hits: 0, failures: [] });
  });

  await t.step("a pipe", async () => {
    const { code, stdout, errors } = await cutout(["-", "--out", "-", "--size", "32"], {
      ...options,
      input: images[0],
    });
    assert.equal(code, 0, errors);
    assert.equal((await decode(stdout as Uint8Array<ArrayBuffer>, { maxPixels: 1e6 })).width, 32);
  });

  await t.step("a failed image is named, and the others succeed", async () => {
    await Deno.writeTextFile(`${cwd}/photos/broken.png`, "not an image");
    const { code, text, errors } = await cutout(["photos", "--out", "out"], options);
    assert.equal(code, 1);
    assert.match(text, /2 of 3 cut out, 2 from the cache/);
    assert.match(errors, /failed: photos\/broken\.png: .+: .+/);
  });

  await t.step("it stops at once at a refused token, a refused connection and a wrong option", async () => {
    const refused = await cutout(["photos"], { ...options, token: "another-token-here" });
    assert.deepEqual([refused.code, /unauthorized: .*Set CUTCACHE_TOKEN/.test(refused.errors)], [2, true]);
    const closed = await cutout(["photos"], { ...options, url: "http://127.0.0.1:9" });
    assert.deepEqual([closed.code, /127\.0\.0\.1:9 cannot be reached/.test(closed.errors)], [2, true]);
    const wrong = await cutout(["photos/a.PNG", "--backgrond", "white"], options);
    assert.match(wrong.errors, /did you mean `background`\?/);
  });

  await t.step("an empty folder, a missing file and no file are wrong usage", async () => {
    for (
      const args of [["empty"], ["nowhere"], [], ["photos", "--out", "-"].slice(0, 1).concat("--concurrency", "0")]
    ) {
      const { code, errors } = await cutout(args, options);
      assert.deepEqual([code, errors.includes("Usage:")], [2, true], args.join(" "));
    }
    const { code, text } = await cutout(["--help"], options);
    assert.deepEqual([code, text.startsWith("Usage:")], [0, true]);
  });
});
