import assert from "node:assert/strict";
import { fixture } from "../support/images.ts";
import { type LogLine, TestServer } from "../support/server.ts";

const support = (name: string) => `tests/support/platforms/${name}.ts`;

/** The system tests that run on each platform: they decode, infer, render and cache. */
const REPEATED = ["tests/system/predict_test.ts"];

interface Platform {
  name: string;
  /** The start command of a platform that passes no flags except for permissions. */
  command: () => Promise<string[]>;
  engine: { mode: string; sandboxed: boolean; threads: number };
  /** A warning in the log. */
  warning?: RegExp;
  /** Further test files. */
  more?: string[];
}

const preloaded = (name: string) => () =>
  Promise.resolve([Deno.execPath(), "run", "-A", "--preload", support(name), "src/main.ts"]);

const PLATFORMS: Platform[] = [
  {
    name: "workers without Deno's options",
    command: preloaded("no_worker_options"),
    engine: { mode: "worker", sandboxed: false, threads: 2 },
    warning: /image worker is not sandboxed: it runs with the permissions of the process/,
  },
  {
    name: "no workers",
    command: preloaded("no_workers"),
    engine: { mode: "inline", sandboxed: false, threads: 1 },
    warning: /image worker is not sandboxed: it runs on the main thread/,
  },
  {
    name: "threads that do not start",
    command: preloaded("no_threads"),
    engine: { mode: "worker", sandboxed: true, threads: 1 },
    warning: /threads do not start on this platform/,
  },
  {
    name: "Deno 2.5.0",
    command: async () => [await executable("2.5.0"), "run", "-A", "src/main.ts"],
    engine: { mode: "worker", sandboxed: true, threads: 2 },
    more: ["tests/system/render_test.ts"],
  },
];

const SETTINGS = { INFERENCE_THREADS: "2" };

/** Platforms to test at once: two with one thread each keep both cores busy. */
const groups = Object.values(Object.groupBy(PLATFORMS, ({ name, engine }) => engine.threads === 1 ? "single" : name));

for (const platforms of groups as Platform[][]) {
  Deno.test(`${platforms.map(({ name }) => name).join(", ")} › the server reports it, and the system tests pass`, async (t) => {
    const starts = await Promise.all(platforms.map(({ command }) => command()));
    const outcomes = Promise.all(platforms.map(({ more = [] }, i) => runSystemTests(starts[i], more)));
    for (const [i, { name, engine, warning }] of platforms.entries()) {
      await t.step(`${name}: the server reports what it has`, async () => {
        await using server = await TestServer.quick(SETTINGS, { command: starts[i] });
        await server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
        const { mode, sandboxed, threads } = (await server.health()).engine;
        assert.deepEqual({ mode, sandboxed, threads }, engine);
        const isWarning = ({ level }: LogLine) => level === "warning";
        if (warning === undefined) assert.deepEqual(server.logs.filter(isWarning), []);
        else await server.logged((line) => isWarning(line) && warning.test(line.message));
      });
    }
    for (const [i, { success, printed }] of (await outcomes).entries()) {
      await t.step(`${platforms[i].name}: the system tests pass`, () => assert.ok(success, printed));
    }
  });
}

/** Runs {@link REPEATED} and further test files with this start command. */
async function runSystemTests(start: string[], more: string[]): Promise<{ success: boolean; printed: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--sanitize-ops", "--sanitize-resources", ...REPEATED, ...more],
    cwd: new URL("../../", import.meta.url),
    env: { ...SETTINGS, TEST_SERVER_COMMAND: JSON.stringify(start), NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { success, printed: text.decode(stdout) + text.decode(stderr) };
}

/** The executable of another version of Deno, which npx fetches, as in the README's command. */
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
