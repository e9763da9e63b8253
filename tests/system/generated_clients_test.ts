import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const CLIENTS = new URL("../support/clients/", import.meta.url);
const TOKEN = "0123456789abcdef";

async function run(command: string[], cwd: string): Promise<string> {
  const [program, ...args] = command;
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd,
    env: { NO_PROXY: "127.0.0.1", NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${command.join(" ")}\n${output}${errors}`);
  return output;
}

Deno.test("generated clients › every call of a client made from the description succeeds", async (t) => {
  await using server = await TestServer.quick({ ADMIN_TOKEN: TOKEN });
  await server.ready();
  const folder = await Deno.makeTempDir({ prefix: "cutcache-clients-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await Deno.writeFile(`${folder}/photo.png`, await discImage(1));
  await Deno.writeFile(`${folder}/openapi.json`, await (await server.fetch("/openapi.json")).bytes());
  const imports = { "openapi-fetch": "npm:openapi-fetch@0.17.0" };
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify({ imports }));
  for (const name of ["client.ts", "client.py"]) await Deno.copyFile(new URL(name, CLIENTS), `${folder}/${name}`);

  const succeeds = (output: string, calls: number) => {
    const lines = output.trim().split("\n");
    assert.equal(lines.length, calls, output);
    assert.deepEqual(lines.filter((line) => !line.endsWith(" 200")), []);
  };

  await t.step("openapi-typescript, whose types fit as well", async () => {
    const packages = ["-p", "typescript@5.9.3", "-p", "openapi-typescript@7.13.0"];
    await run(["npx", "-y", ...packages, "openapi-typescript", "openapi.json", "-o", "generated.d.ts"], folder);
    succeeds(await run([Deno.execPath(), "run", "--check", "-A", "client.ts", server.url, TOKEN], folder), 19);
  });

  await t.step("openapi-python-client", async () => {
    await run(["pip3", "install", "-q", "--break-system-packages", "--target", "packages", ...PYTHON_PACKAGES], folder);
    const generator = ["-m", "openapi_python_client", "generate", "--path", "openapi.json"];
    const inPackages = ["env", `PYTHONPATH=${folder}/packages`, "python3"];
    await run([...inPackages, ...generator, "--output-path", "generated", "--meta", "none"], folder);
    succeeds(await run([...inPackages, "client.py", server.url, TOKEN], folder), 25);
  });
});

const PYTHON_PACKAGES = ["openapi-python-client==0.29.1"];
