import assert from "node:assert/strict";
import { discImage, fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";
import { type MarkdownFile, readDocuments, ROOT } from "./documents.ts";

/** What a block of commands may need that the tests lack, as in `sh needs=docker`. */
const LACKING = new Set([
  "caddy",
  "deno-deploy",
  "docker",
  "hadolint",
  "httpie",
  "kubernetes",
  "kubernetes-validate",
  "network",
  "otlp",
  "promtool",
  "python",
]);

/** What the commands need of the project. */
const COPIED = ["deno.json", "deno.lock", "src", "static", "tests", "tools"];

const TOKENS = { ADMIN_TOKEN: "0123456789abcdef", API_TOKEN: "fedcba9876543210" };

interface Block {
  readonly document: string;
  readonly commands: string;
  /** What it needs that the tests lack. */
  readonly needs: readonly string[];
  /** Whether it starts a server, which runs until it is stopped. */
  readonly startsServer: boolean;
}

Deno.test("docs › every command works, or says what it needs that the tests lack", async (t) => {
  const blocks = (await readDocuments()).flatMap(blocksOf);
  const runnable = blocks.filter(({ needs }) => needs.length === 0);
  assert.ok(runnable.length > 0);
  await using folder = await projectFolder();
  await using server = await TestServer.quick({ ADMIN_TOKEN: TOKENS.ADMIN_TOKEN }, { checked: false });
  await server.ready();
  for (const block of runnable) {
    const [firstLine] = block.commands.split("\n");
    await t.step(`${block.document}: ${firstLine}`, async () => {
      if (block.startsServer) await startsServer(block, folder.path);
      else await succeeds(block, folder.path, server.url);
    });
  }
});

function blocksOf({ name: document, text }: MarkdownFile): Block[] {
  return [...text.matchAll(/^```(.*)\n([^]*?)\n```$/gm)].flatMap(([, info, commands]) => {
    const [language, ...marks] = info.split(" ");
    assert.doesNotMatch(language, /bash|shell|console/, `${document}: commands stand in sh blocks`);
    if (language !== "sh") return [];
    let needs: string[] = [];
    let startsServer = false;
    for (const mark of marks) {
      const [name, value] = mark.split("=");
      if (name === "needs") needs = value.split(",");
      else if (mark === "starts=server") startsServer = true;
      else assert.fail(`${document}: unknown mark ${mark}`);
    }
    for (const need of needs) assert.ok(LACKING.has(need), `${document}: unknown need ${need}`);
    return [{ document, commands, needs, startsServer }];
  });
}

/** A copy of the project in a temporary folder, with the pictures that the commands name. */
async function projectFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "cutcache-docs-" });
  await run(`cp -r ${COPIED.map((name) => `"$ROOT/${name}"`).join(" ")} .`, path, { ROOT: ROOT.pathname });
  await Deno.mkdir(`${path}/photos`);
  await Promise.all([
    Deno.writeFile(`${path}/photo.jpg`, fixture("chelsea.jpg")),
    Deno.writeFile(`${path}/background.jpg`, fixture("coffee.jpg")),
    Deno.writeFile(`${path}/photos/disc.png`, await discImage(1)),
  ]);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

async function succeeds({ commands }: Block, folder: string, url: string): Promise<void> {
  const { port } = new URL(url);
  const script = here(commands).replaceAll("http://localhost:8000", url).replaceAll("--port 8000", `--port ${port}`);
  // Without these, curl prints an image to the terminal or takes an error for a success.
  for (const [curl] of script.matchAll(/^curl .*$/gm)) assert.match(curl, /^curl -sf /);
  await run(script, folder, { ...TOKENS, CUTCACHE_URL: url });
}

/** Starts the server in a process group of its own, waits until it tells its address, and ends them all. */
async function startsServer({ commands }: Block, folder: string): Promise<void> {
  const process = new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", here(commands).replaceAll(/\bPORT=\d+ ?/g, "")],
    cwd: folder,
    env: { ...environment(), HOST: "127.0.0.1", PORT: "0", CACHE_STORE: "memory" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    detached: true,
  }).spawn();
  let said = "";
  let isListening = false;
  for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) {
    said += text;
    if (isListening || !/http:\/\/[^\s/]+\/cutouts/.test(said)) continue;
    isListening = true;
    Deno.kill(-process.pid, "SIGKILL");
  }
  await process.status;
  assert.ok(isListening, said);
}

/** Commands as they are typed here: with this Deno, and with a copy of the project in the place of a clone. */
function here(commands: string): string {
  return commands
    .replaceAll(/npx -y deno@[\d.]+/g, "deno")
    .replaceAll(/git clone <repository> (\w+)/g, `mkdir $1 && cp -r ${COPIED.join(" ")} $1`);
}

async function run(script: string, folder: string, variables: Record<string, string>): Promise<void> {
  const { code, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", script],
    cwd: folder,
    env: { ...environment(), ...variables },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  assert.equal(code, 0, `${script}\n${new TextDecoder().decode(stderr)}`);
}

/** This Deno first, and no proxy on the way to this machine. */
function environment(): Record<string, string> {
  const deno = new URL(".", `file://${Deno.execPath()}`).pathname;
  return { PATH: `${deno}:${Deno.env.get("PATH")}`, NO_PROXY: "127.0.0.1", NO_COLOR: "1" };
}
