import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import denoJson from "../../deno.json" with { type: "json" };
import { fixture } from "../support/images.ts";

const ROOT = new URL("../../", import.meta.url);

/** An instruction of the Dockerfile: its name and all that follows, on one line. */
type Instruction = readonly [name: string, rest: string];

/** Of the image that is built where no target is named, and of the one that is built upon it. */
const STAGES = ["wasm", "native"] as const;

/** Those of one stage. */
function instructions(stage: typeof STAGES[number]): Instruction[] {
  const all = everyInstruction();
  const from = all.findIndex(([name, rest]) => name === "FROM" && rest.endsWith(` AS ${stage}`));
  const to = all.findIndex(([name], i) => name === "FROM" && i > from);
  return all.slice(from, to);
}

function everyInstruction(): Instruction[] {
  const text = Deno.readTextFileSync(new URL("Dockerfile", ROOT));
  const lines = text.replace(/^#.*\n/gm, "").replace(/\\\n\s*/g, "").split("\n").filter(Boolean);
  return lines.map((line) => {
    const [, name, rest] = /^(\w+) (.*)$/.exec(line)!;
    return [name, rest] as const;
  });
}

Deno.test("container › the image is started with the flags and the memory settings of the start task", () => {
  const task = denoJson.tasks.start;
  assert.deepEqual(everyInstruction().at(-1), ["FROM", "wasm"], "what is built by default");
  for (const [stage, task] of [["wasm", denoJson.tasks.start], ["native", denoJson.tasks["start:native"]]] as const) {
    const [, command] = instructions(stage).findLast(([name]) => name === "CMD")!;
    const flags = /--v8-flags=\S+/.exec(task)![0];
    assert.ok(JSON.parse(command).includes(flags), flags);
    const granted = (args: string[]) => args.flatMap((arg) => /^--(?:allow-\w+|lock)/.exec(arg)?.[0] ?? []).sort();
    assert.deepEqual(granted(JSON.parse(command)), granted(task.split(" ")), stage);
  }
  const memory = /export (MALLOC_.*?);/.exec(task)![1];
  assert.ok(instructions("wasm").some(([name, rest]) => name === "ENV" && rest === memory), memory);
});

/*
 * There may be no container engine where the tests run. What the Dockerfile says is done in a folder of its own: a file
 * that it forgets to copy is missed here. The packages, of which the lock file tells, are those of this machine's cache.
 */
Deno.test("container › what the Dockerfile copies, fetches and starts is a whole server", async (t) => {
  const built: Instruction[] = [];
  for (const stage of STAGES) {
    built.push(...instructions(stage));
    await t.step(stage, () => serves(built, stage));
  }
});

/** Does what the instructions say, the last of them to start the server, and sends it an image. */
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
      // The first makes /data for the user of the image.
      if (name === "RUN" && !rest.includes("chown")) await run(rest, app, env);
    }
    const server = new Deno.Command(Deno.execPath(), {
      args: command,
      cwd: app,
      env,
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let said = "";
    const reading = (async () => {
      for await (const text of server.stderr.pipeThrough(new TextDecoderStream())) said += text;
    })();
    const ended = server.status;
    try {
      let address: string | undefined;
      while (address === undefined) {
        address = /http:\/\/[^\s/]+(?=\/cutouts)/.exec(said)?.[0];
        const gone = await Promise.race([ended.then(() => true), delay(20, false)]);
        assert.ok(!gone, said);
      }
      const response = await fetch(`${address}/cutouts`, { method: "POST", body: fixture("chelsea.jpg") });
      assert.equal(response.status, 200, said);
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
      } catch { /* has ended */ }
      await ended;
      await reading;
    }
    assert.equal((await ended).code, 0, said);
    assert.ok([...Deno.readDirSync(data)].length > 0, "the cache lies in the volume");
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

/** @throws {AssertionError} with what it printed, where it fails. */
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
