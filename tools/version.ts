/**
 * Prints the version, or raises it in `deno.json`, in `deploy/kubernetes.yaml` and in the changelog, whose unreleased changes become those of the new
 * version.
 *
 * @example deno task version minor
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { raise, type Release, release } from "./version/release.ts";

const USAGE = `Usage: deno task version [major|minor|patch|X.Y.Z]

Prints the version. With an argument, raises it in deno.json and deploy/kubernetes.yaml, and dates the changes under
Unreleased in CHANGELOG.md.
Commits nothing, but prints the commands to commit, tag and push.

  --root DIR   folder of deno.json, CHANGELOG.md and deploy/ (default: this project)
  --help       show this text

Exit code: 0 done, 1 nothing to release, 2 wrong usage.`;

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** @returns the exit code */
async function main(args: string[]): Promise<number> {
  let root: string;
  let wanted: string | undefined;
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { help: { type: "boolean" }, root: { type: "string", default: ROOT } },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    if (positionals.length > 1) throw new Error(`one version at a time, not ${positionals.join(" and ")}`);
    root = values.root;
    [wanted] = positionals;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  const files = {
    denoJson: `${root}/deno.json`,
    changelog: `${root}/CHANGELOG.md`,
    kubernetes: `${root}/deploy/kubernetes.yaml`,
  };
  const [denoJson, changelog, kubernetes] = await Promise.all(Object.values(files).map((f) => Deno.readTextFile(f)));
  const { version: current } = JSON.parse(denoJson) as { version: string };
  if (wanted === undefined) {
    console.log(current);
    return 0;
  }
  let version: string;
  try {
    version = raise(current, wanted);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  let released: Release;
  try {
    released = release({ denoJson, changelog }, { current, version, date: new Date().toISOString().slice(0, 10) });
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
  await Deno.writeTextFile(files.changelog, released.changelog);
  await Deno.writeTextFile(files.denoJson, released.denoJson);
  await Deno.writeTextFile(files.kubernetes, kubernetes.replace(`cutcache:${current}`, `cutcache:${version}`));
  console.log(
    [
      `${current} → ${version}. Check \`git diff\`, then:`,
      "",
      `  git commit --message "Release ${version}" deno.json CHANGELOG.md deploy/kubernetes.yaml`,
      `  git tag --annotate v${version} --message "Cutcache ${version}"`,
      `  git push --follow-tags`,
    ].join("\n"),
  );
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
