import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { discImage, fixture, PHOTOGRAPHS } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

/** Runs `deno task request`. */
async function request(
  server: TestServer,
  inDir: string,
  outDir: string,
  flags: Record<string, string> = {},
): Promise<{ code: number; stdout: string }> {
  const { hostname, port } = new URL(server.url);
  const all = { host: hostname, port, in_images_dir: inDir, out_images_dir: outDir, ...flags };
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "request", ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value])],
    cwd: new URL("../../", import.meta.url),
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout) };
}

Deno.test("deno task request › cuts out a folder with a real server, and a second run has only hits", async () => {
  await using server = await TestServer.quick();
  const folder = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  const [inDir, outDir] = [`${folder}/in`, `${folder}/out`];
  await Deno.mkdir(inDir);
  for (const name of PHOTOGRAPHS) await Deno.writeFile(`${inDir}/${name}.jpg`, fixture(`${name}.jpg`));
  const first = await request(server, inDir, outDir);
  assert.equal(first.code, 0);
  assert.match(first.stdout, /misses +4\b/);
  for (const name of PHOTOGRAPHS) {
    const photograph = await decode(fixture(`${name}.jpg`), { maxPixels: 1e6 });
    const cutout = await decode(await Deno.readFile(`${outDir}/${name}.png`), { maxPixels: 1e6 });
    assert.deepEqual([cutout.width, cutout.height], [photograph.width, photograph.height]);
  }
  const second = await request(server, inDir, outDir);
  assert.match(second.stdout, /hits +4\b/);
  assert.match(second.stdout, /saved +0\.3 MB not sent/);
  assert.equal(await server.inferences(), 4);

  await Deno.writeTextFile(`${inDir}/broken.png`, "no image");
  const third = await request(server, inDir, outDir);
  assert.equal(third.code, 1);
  assert.match(third.stdout, /hits +4\b[^]*failures +1\b/);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("deno task request › sends its token to a server that requires one", async () => {
  const token = "a-token-of-a-client";
  await using server = await TestServer.quick({ API_TOKENS: token });
  const folder = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  await Deno.mkdir(`${folder}/in`);
  await Deno.writeFile(`${folder}/in/disc.png`, await discImage(1));
  const without = await request(server, `${folder}/in`, `${folder}/out`);
  assert.deepEqual([without.code, await server.inferences()], [1, 0]);
  const first = await request(server, `${folder}/in`, `${folder}/out`, { token });
  assert.match(first.stdout, /misses +1\b/);
  const second = await request(server, `${folder}/in`, `${folder}/out`, { token });
  assert.match(second.stdout, /hits +1\b/);
  await Deno.remove(folder, { recursive: true });
});
