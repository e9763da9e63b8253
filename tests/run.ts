/**
 * Runs the tests: `deno task test [arguments for deno test]`.
 *
 * Installs or asks for the tools that they need, streams the output of `deno test`, and ends with one line for people and
 * scripts alike: `N passed, N failed`, followed by `, N skipped` if tests were ignored. Exits with the code of `deno test`;
 * with `CI=true`, an ignored test is a failure too.
 */
import { stripVTControlCharacters } from "node:util";
import { ensureTestTools } from "./support/tools.ts";

/** The last line of `deno test`: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`. */
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(.*?\))? \| (\d+) failed(?: \(.*?\))?(?: \| (\d+) ignored(?: \((\d+) steps?\))?)?/;

interface Summary {
  passed: number;
  failed: number;
  skipped: number;
}

function parseSummary(line: string): Summary | undefined {
  const match = SUMMARY.exec(stripVTControlCharacters(line));
  if (!match) return undefined;
  const [passed, failed, ignored, ignoredSteps] = match.slice(1).map((count) => Number(count ?? 0));
  return { passed, failed, skipped: ignored + ignoredSteps };
}

/** Runs `deno test`. Without a path it runs `tests/`, by `test.include` in deno.json. */
async function runDenoTest(args: string[]): Promise<{ code: number; summary?: Summary }> {
  const child = new Deno.Command(Deno.execPath(), {
    // `deno task check` checks types. By default, Deno no longer detects leaks.
    args: ["test", "-A", "--no-check", "--sanitize-ops", "--sanitize-resources", ...args],
    // `deno test` also colours its output to a pipe.
    env: Deno.stdout.isTerminal() ? {} : { NO_COLOR: "1" },
    stdout: "piped",
    detached: true,
  }).spawn();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // To the whole process group, which `detached` creates: the servers that tests started must end too.
    Deno.addSignalListener(signal, () => Deno.kill(-child.pid, signal));
  }

  let summary: Summary | undefined;
  let unfinishedLine = "";
  const text = new TextDecoder();
  const terminal = Deno.stdout.writable.getWriter();
  for await (const chunk of child.stdout) {
    await terminal.write(chunk);
    const lines = (unfinishedLine + text.decode(chunk, { stream: true })).split("\n");
    unfinishedLine = lines.pop()!;
    for (const line of lines) summary = parseSummary(line) ?? summary;
  }
  const { code } = await child.status;
  return { code, summary };
}

await ensureTestTools().catch((error: Error) => {
  console.error(error.message);
  Deno.exit(1);
});
const { code, summary } = await runDenoTest(Deno.args);
if (!summary) {
  console.error("deno test ended without a summary: not all tests have run");
  Deno.exit(code || 1);
}
const { passed, failed, skipped } = summary;
const mustNotSkip = Deno.env.get("CI") === "true" && skipped > 0;
if (mustNotSkip) console.error("with CI=true no test may be skipped");
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
Deno.exit(code || (mustNotSkip ? 1 : 0));
