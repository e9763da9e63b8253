import assert from "node:assert/strict";
import { join } from "node:path";
import denoJson from "../../deno.json" with { type: "json" };
import { raise } from "../../tools/version/release.ts";

const SCRIPT = join(import.meta.dirname!, "../../tools/version.ts");

const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- A thing.

## [1.2.3] - 2026-01-31

### Fixed

- Another.

[Unreleased]: https://example.org/cutcache/compare/v1.2.3...HEAD
[1.2.3]: https://example.org/cutcache/releases/tag/v1.2.3
`;

interface Folder {
  run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  read(name: string): Promise<string>;
}

/** Runs the tool in the folder of a project at version 1.2.3. */
async function inFolder(changelog: string, use: (folder: Folder) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "cutcache-version-" });
  try {
    await Deno.writeTextFile(`${root}/deno.json`, `{\n  "name": "x",\n  "version": "1.2.3",\n  "license": "MIT"\n}\n`);
    await Deno.writeTextFile(`${root}/CHANGELOG.md`, changelog);
    await Deno.mkdir(`${root}/deploy`);
    await Deno.writeTextFile(`${root}/deploy/kubernetes.yaml`, "image: cutcache:1.2.3\n");
    await use({
      read: (name) => Deno.readTextFile(`${root}/${name}`),
      async run(...args) {
        const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["run", `--allow-read=${root}`, `--allow-write=${root}`, SCRIPT, "--root", root, ...args],
          env: { NO_COLOR: "1" },
        }).output();
        return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
      },
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("version › without an argument, the version is printed and nothing changes", async () => {
  await inFolder(CHANGELOG, async ({ run, read }) => {
    assert.deepEqual(await run(), { code: 0, stdout: "1.2.3\n", stderr: "" });
    assert.equal(await read("CHANGELOG.md"), CHANGELOG);
  });
});

Deno.test("version › a release dates the changes, raises deno.json and prints how to tag it", async () => {
  await inFolder(CHANGELOG, async ({ run, read }) => {
    const before = new Date().toISOString().slice(0, 10);
    const { code, stdout, stderr } = await run("minor");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /git tag --annotate v1\.3\.0 /);
    assert.equal(JSON.parse(await read("deno.json")).version, "1.3.0");
    assert.equal(
      await read("deno.json"),
      `{
  "name": "x",
  "version": "1.3.0",
  "license": "MIT"
}
`,
    );
    assert.equal(await read("deploy/kubernetes.yaml"), "image: cutcache:1.3.0\n");
    const changelog = await read("CHANGELOG.md");
    const [, date] = /^## \[1\.3\.0\] - (\d{4}-\d\d-\d\d)$/m.exec(changelog)!;
    assert.ok([before, new Date().toISOString().slice(0, 10)].includes(date), date);
    assert.equal(
      changelog,
      CHANGELOG
        .replace("## [Unreleased]\n", `## [Unreleased]\n\n## [1.3.0] - ${date}\n`)
        .replace(
          "v1.2.3...HEAD",
          "v1.3.0...HEAD\n[1.3.0]: https://example.org/cutcache/compare/v1.2.3...v1.3.0",
        ),
    );
    // There is nothing left to release.
    const again = await run("patch");
    assert.equal(again.code, 1);
    assert.match(again.stderr, /nothing under Unreleased/);
    assert.equal(await read("CHANGELOG.md"), changelog);
  });
});

Deno.test("version › an invalid release is refused and changes nothing", async () => {
  const wrong: [string, string[], number, RegExp][] = [
    [CHANGELOG, ["1.2.3"], 2, /1\.2\.3 is not higher than 1\.2\.3/],
    [CHANGELOG, ["1.1.9"], 2, /not higher/],
    [CHANGELOG, ["v1.3.0"], 2, /neither major, minor, patch nor a version/],
    [CHANGELOG, ["minor", "major"], 2, /one version at a time/],
    [CHANGELOG, ["--force"], 2, /--force/],
    [CHANGELOG.replace("- A thing.\n", ""), ["minor"], 1, /nothing under Unreleased/],
    [CHANGELOG.replace("## [Unreleased]", "## Soon"), ["minor"], 1, /no heading/],
    [CHANGELOG.replace("[1.2.3] -", "[1.3.0] -"), ["minor"], 1, /has 1\.3\.0 already/],
  ];
  for (const [changelog, args, expected, message] of wrong) {
    await inFolder(changelog, async ({ run, read }) => {
      const { code, stderr } = await run(...args);
      assert.equal(code, expected, stderr);
      assert.match(stderr, message);
      assert.equal(await read("CHANGELOG.md"), changelog);
      assert.equal(JSON.parse(await read("deno.json")).version, "1.2.3");
    });
  }
});

Deno.test("version › parts and versions are raised by Semantic Versioning", () => {
  assert.deepEqual(
    ["major", "minor", "patch", "0.10.0", "1.0.0"].map((wanted) => raise("0.9.9", wanted)),
    ["1.0.0", "0.10.0", "0.9.10", "0.10.0", "1.0.0"],
  );
  assert.equal(raise("1.9.0", "1.10.0"), "1.10.0");
  assert.throws(() => raise("1.10.0", "1.9.0"), /not higher/);
  assert.throws(() => raise("1.2.3-beta", "patch"), /deno\.json has the version/);
});

Deno.test("version › the project's own changelog has the expected form", async () => {
  const changelog = await Deno.readTextFile(new URL("../../CHANGELOG.md", import.meta.url));
  assert.match(changelog, /^## \[Unreleased\]$/m);
  for (const [heading] of changelog.matchAll(/^## .*$/gm)) {
    assert.match(heading, /^## \[(Unreleased\]|\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)$/);
  }
  raise(denoJson.version, "patch");
});
