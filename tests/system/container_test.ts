import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { MALLOC_OPTIONS, V8_FLAGS } from "../../src/memory_tuning.ts";
import { startCommand } from "../../tools/start.ts";
import { fixture } from "../support/images.ts";

const ROOT = new URL("../../", import.meta.url);

/** An instruction of the Dockerfile: its name, and the rest of it on one line. */
type Instruction = readonly [name: string, rest: string];

/** The default image, and the one that is built on it. */
const STAGES = ["wasm", "native"] as const;

const read = (name: string) => Deno.readTextFileSync(new URL(name, ROOT));

/** The instructions of one stage. */
function instructions(stage: typeof STAGES[number]): Instruction[] {
  const all = everyInstruction();
  const from = all.findIndex(([name, rest]) => name === "FROM" && rest.endsWith(` AS ${stage}`));
  const to = all.findIndex(([name], i) => name === "FROM" && i > from);
  return all.slice(from, to);
}

function everyInstruction(): Instruction[] {
  const lines = read("Dockerfile").replace(/^#.*\n/gm, "").replace(/\\\n\s*/g, "").split("\n").filter(Boolean);
  return lines.map((line) => {
    const [, name, rest] = /^(\w+) (.*)$/.exec(line)!;
    return [name, rest] as const;
  });
}

Deno.test("container › the default image is the one with WASM", () => {
  assert.deepEqual(everyInstruction().at(-1), ["FROM", "wasm"]);
});

Deno.test("container › the image sets the V8 flags and malloc options of src/memory_tuning.ts", () => {
  const variables = instructions("wasm").filter(([name]) => name === "ENV").flatMap(([, rest]) => rest.split(" "));
  assert.ok(variables.includes(`DENO_V8_FLAGS=${V8_FLAGS.join(",")}`), `${variables}`);
  for (const { name, value } of MALLOC_OPTIONS) assert.ok(variables.includes(`${name}=${value}`), `${variables}`);
});

Deno.test("container › the server has the permissions and the lock file of the start task", () => {
  const relevant = (args: string[]) => args.filter((arg) => /^(-P|--allow|--lock|--frozen)/.test(arg)).sort();
  for (const stage of STAGES) {
    const [, command] = instructions(stage).findLast(([name]) => name === "CMD")!;
    const environment = (name: string) => name === "CACHE_DIR" ? "/data" : undefined;
    const { args } = startCommand({ native: stage === "native", environment });
    // The addresses are known only when a container starts: its network is bounded from outside.
    const expected = relevant(args).map((arg) => arg.startsWith("--allow-net=") ? "--allow-net" : arg);
    assert.deepEqual(relevant(JSON.parse(command)), expected, stage);
  }
});

Deno.test("container › .dockerignore leaves in all files that the Dockerfile copies", () => {
  const kept = read(".dockerignore").split("\n").filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  const copied = everyInstruction().filter(([name]) => name === "COPY").flatMap(([, rest]) =>
    rest.split(" ").slice(0, -1)
  );
  assert.deepEqual(copied.toSorted(), kept.toSorted());
});

/*
 * There may be no container engine here, so the Dockerfile's instructions run in a folder of their own, where a file that
 * it forgets to copy is missing. Packages come from this machine's cache, by the lock file.
 */
Deno.test("container › the Dockerfile copies, fetches and starts a whole server", async (t) => {
  const built: Instruction[] = [];
  for (const stage of STAGES) {
    built.push(...instructions(stage));
    await t.step(stage, () => serves(built, stage));
  }
});

/** Follows the instructions, the last of which starts the server, and sends it an image. */
async function serves(instructions: readonly Instruction[], backend: string): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "cutcache-container-" });
  const [app, data] = [`${root}/app`, `${root}/data`];
  const env: Record<string, string> = {
    HOST: "127.0.0.1",
    PORT: "0",
    LOG_LEVEL: "warning",
    NO_COLOR: "1",
  };
  try {
    await Deno.mkdir(app);
    await Deno.mkdir(data);
    const inContainer = (text: string) => text.replaceAll(/(?<![\w.])\/data\b/g, data);
    let command: string[] = [];
    for (const [name, rest] of instructions) {
      if (name === "COPY") await copy(rest.split(" "), app);
      if (name === "ENV") { for (const [, key, value] of rest.matchAll(/(\w+)=(\S+)/g)) env[key] = inContainer(value); }
      if (name === "CMD") command = (JSON.parse(rest) as string[]).map(inContainer);
      // The first one creates /data for the image's user.
      if (name === "RUN" && !rest.includes("chown")) await run(rest, app, env);
    }
    const server = new Deno.Command(Deno.execPath(), {
      args: command,
      cwd: app,
      env,
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let output = "";
    const reading = (async () => {
      for await (const text of server.stderr.pipeThrough(new TextDecoderStream())) output += text;
    })();
    const ended = server.status;
    try {
      let address: string | undefined;
      while (address === undefined) {
        address = /http:\/\/[^\s/]+(?=\/cutouts)/.exec(output)?.[0];
        const gone = await Promise.race([ended.then(() => true), delay(20, false)]);
        assert.ok(!gone, output);
      }
      const response = await fetch(`${address}/cutouts`, { method: "POST", body: fixture("chelsea.jpg") });
      assert.equal(response.status, 200, output);
      assert.equal(response.headers.get("Content-Type"), "image/png");
      await response.arrayBuffer();
      const health = await (await fetch(`${address}/health`)).json();
      assert.equal(health.engine.backend, backend);
      const page = await fetch(`${address}/`, { headers: { Accept: "text/html" } });
      assert.equal(page.status, 200);
      await page.text();
    } finally {
      try {
        server.kill("SIGTERM");
      } catch { /* it has ended */ }
      await ended;
      await reading;
    }
    assert.equal((await ended).code, 0, output);
    assert.ok([...Deno.readDirSync(data)].length > 0, "the cache is in the volume");
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function copy(names: string[], to: string): Promise<void> {
  const target = names.pop()!;
  for (const name of names) {
    const destination = target.endsWith("/") ? `${to}/${name}` : `${to}/${target}`;
    const { success } = await new Deno.Command("cp", {
      args: ["-r", new URL(name, ROOT).pathname, destination],
      stdin: "null",
    }).output();
    assert.ok(success, `COPY ${name}`);
  }
}

/** @throws {AssertionError} with the output of the command if it fails. */
async function run(command: string, cwd: string, env: Record<string, string>): Promise<void> {
  const PATH = `${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH")}`;
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-c", command],
    cwd,
    env: { ...env, PATH },
    stdin: "null",
  }).output();
  assert.ok(success, `RUN ${command}\n${new TextDecoder().decode(stderr)}`);
}
