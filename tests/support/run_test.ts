import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const runner = fileURLToPath(new URL("../run.ts", import.meta.url));

interface RunOptions {
  env?: Record<string, string>;
  /** The output of the tests at which the runner is terminated. */
  terminateAt?: string;
}

/** Runs `tests/run.ts` on a new test file with this source. */
async function runTests(source: string, { env = { CI: "" }, terminateAt }: RunOptions = {}) {
  const folder = await Deno.makeTempDir({ prefix: "cutcache-run-" });
  try {
    const file = join(folder, "some_test.ts");
    await Deno.writeTextFile(file, source);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", runner, "--no-config", file],
      env,
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const errors = new Response(child.stderr).text();
    let printed = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      printed += text;
      if (!terminateAt || !printed.includes(terminateAt)) continue;
      child.kill("SIGTERM");
      terminateAt = undefined;
    }
    const { code } = await child.status;
    return { code, printed, errors: await errors, lastLine: printed.trimEnd().split("\n").at(-1) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const passing = `Deno.test("passes", async (test) => { await test.step("with a step", () => {}); });`;
const ignored = `Deno.test.ignore("is ignored", () => {});`;
const ignoredStep = `Deno.test("skips", async (test) => {
  await test.step({ name: "a step", ignore: true, fn() {} });
});`;
const failing = `Deno.test("fails", () => { throw new Error("on purpose"); });`;

Deno.test("run › the last line counts passed and failed tests", async () => {
  const { code, printed, lastLine } = await runTests(passing);
  assert.deepEqual([code, lastLine], [0, "1 passed, 0 failed"]);
  assert.match(printed, /passes/);
});

Deno.test("run › a failed test fails the run", async () => {
  const { code, lastLine } = await runTests(passing + failing);
  assert.deepEqual([code, lastLine], [1, "1 passed, 1 failed"]);
});

Deno.test("run › ignored tests and steps count as skipped, and fail the run in CI", async () => {
  const source = passing + ignored + ignoredStep;
  const locally = await runTests(source);
  assert.deepEqual([locally.code, locally.lastLine], [0, "2 passed, 0 failed, 2 skipped"]);
  const inCi = await runTests(source, { env: { CI: "true" } });
  assert.deepEqual([inCi.code, inCi.lastLine], [1, "2 passed, 0 failed, 2 skipped"]);
  assert.match(inCi.errors, /no test may be skipped/);
});

Deno.test("run › a run that ends without a summary fails, with an error message", async () => {
  const { code, errors } = await runTests("Deno.exit = undefined; this is not TypeScript");
  assert.equal(code, 1);
  assert.match(errors, /without a summary/);
});

Deno.test("run › ignores output of a test that looks like the summary", async () => {
  const { lastLine } = await runTests(`console.log("ok | 99 passed | 0 failed (1s)");` + passing);
  assert.equal(lastLine, "1 passed, 0 failed");
});

Deno.test("run › terminating a run also terminates the processes that its tests started", async () => {
  const started = performance.now();
  // The runner's output ends only when the last process that could write to it has ended.
  const { code } = await runTests(
    `Deno.test("waits", async () => {
      const server = new Deno.Command("sh", { args: ["-c", "echo is running; sleep 60"] }).spawn();
      await server.status;
    });`,
    { terminateAt: "is running" },
  );
  assert.equal(code, 143);
  assert.ok(performance.now() - started < 30_000, "the process was terminated before it would have ended by itself");
});
