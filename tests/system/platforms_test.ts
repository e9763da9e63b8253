import assert from "node:assert/strict";
import { fixture } from "../support/images.ts";
import { type LogLine, TestServer } from "../support/server.ts";

const support = (name: string) => `tests/support/platforms/${name}.ts`;

/** The system tests that run again on each platform: they decode, infer, render and cache. */
const AGAIN = ["tests/system/predict_test.ts"];

interface Platform {
  name: string;
  /** How a platform that passes no flags but permissions starts the server there. */
  command: () => Promise<string[]>;
  engine: { mode: string; sandboxed: boolean; threads: number };
  /** What the log says of it. */
  says?: RegExp;
  /** Further files of tests. */
  besides?: string[];
}

const preloaded = (name: string) => () =>
  Promise.resolve([Deno.execPath(), "run", "-A", "--preload", support(name), "src/main.ts"]);

const PLATFORMS: Platform[] = [
  {
    name: "where workers know no options",
    command: preloaded("no_worker_options"),
    engine: { mode: "worker", sandboxed: false, threads: 2 },
    says: /no sandbox here: the image worker runs with the permissions of the process/,
  },
  {
    name: "where there are no workers",
    command: preloaded("no_workers"),
    engine: { mode: "inline", sandboxed: false, threads: 1 },
    says: /no sandbox here: the image worker runs on the main thread/,
  },
  {
    name: "where threads do not start",
    command: preloaded("no_threads"),
    engine: { mode: "worker", sandboxed: true, threads: 1 },
    says: /threads do not start here/,
  },
  {
    name: "on Deno 2.5.0",
    command: async () => [await executable("2.5.0"), "run", "-A", "src/main.ts"],
    engine: { mode: "worker", sandboxed: true, threads: 2 },
    besides: ["tests/system/render_test.ts"],
  },
];

const SETTINGS = { INFERENCE_THREADS: "2" };

/** Platforms that are tested at a time: two of one thread each leave no core idle, nor wait for one. */
const groups = Object.values(Object.groupBy(PLATFORMS, ({ name, engine }) => engine.threads === 1 ? "single" : name));

for (const platforms of groups as Platform[][]) {
  Deno.test(`${platforms.map(({ name }) => name).join(", ")} › the server says so, and the system tests pass`, async (t) => {
    const starts = await Promise.all(platforms.map(({ command }) => command()));
    const outcomes = Promise.all(platforms.map(({ besides = [] }, i) => runSystemTests(starts[i], besides)));
    for (const [i, { name, engine, says }] of platforms.entries()) {
      await t.step(`${name}: the server says what it has`, async () => {
        await using server = await TestServer.quick(SETTINGS, { command: starts[i] });
        await server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
        const { mode, sandboxed, threads } = (await server.health()).engine;
        assert.deepEqual({ mode, sandboxed, threads }, engine);
        const isWarning = ({ level }: LogLine) => level === "warning";
        if (says === undefined) assert.deepEqual(server.logs.filter(isWarning), []);
        else await server.logged((line) => isWarning(line) && says.test(line.message));
      });
    }
    for (const [i, { success, printed }] of (await outcomes).entries()) {
      await t.step(`${platforms[i].name}: the system tests pass`, () => assert.ok(success, printed));
    }
  });
}

/** Runs {@link AGAIN} and other files of tests with servers that are started so. */
async function runSystemTests(start: string[], besides: string[]): Promise<{ success: boolean; printed: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--sanitize-ops", "--sanitize-resources", ...AGAIN, ...besides],
    cwd: new URL("../../", import.meta.url),
    env: { ...SETTINGS, TEST_SERVER_COMMAND: JSON.stringify(start), NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { success, printed: text.decode(stdout) + text.decode(stderr) };
}

/** The program of another version of Deno, which npx fetches as the README's command does. */
async function executable(version: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("npx", {
    args: ["-y", `deno@${version}`, "eval", "console.log(Deno.execPath())"],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  assert.ok(success, text.decode(stderr));
  return text.decode(stdout).trim();
}
