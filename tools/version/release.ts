/** Contents of the two files that contain the version. */
export interface Release {
  readonly denoJson: string;
  readonly changelog: string;
}

/** `X.Y.Z` of Semantic Versioning 2.0.0; releases only, no pre-releases. */
const VERSION = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/;

const PARTS = ["major", "minor", "patch"];

/**
 * The next version.
 * @param wanted `major`, `minor`, `patch`, or the version itself.
 * @throws {Error} if it is none of these, or not higher than the current one.
 */
export function raise(current: string, wanted: string): string {
  const before = numbers(current);
  const part = PARTS.indexOf(wanted);
  if (part >= 0) return before.map((n, i) => i < part ? n : i === part ? n + 1 : 0).join(".");
  if (!VERSION.test(wanted)) throw new Error(`"${wanted}" is neither ${PARTS.join(", ")} nor a version such as 1.2.3`);
  const after = numbers(wanted);
  const first = after.findIndex((n, i) => n !== before[i]);
  if (first < 0 || after[first] < before[first]) throw new Error(`${wanted} is not higher than ${current}`);
  return wanted;
}

function numbers(version: string): number[] {
  const match = VERSION.exec(version);
  if (!match) throw new Error(`deno.json has the version "${version}", which is not like 1.2.3`);
  return match.slice(1).map(Number);
}

/**
 * Both files after the release: the changes under Unreleased move under the version and its date, and Unreleased is empty
 * (https://keepachangelog.com/en/1.1.0/). Links that compare versions are updated.
 * @throws {Error} if the changelog has no Unreleased, nothing under it, or this version already.
 */
export function release(
  { denoJson, changelog }: Release,
  { current, version, date }: { current: string; version: string; date: string },
): Release {
  const heading = /^## \[Unreleased\][ \t]*\n/m.exec(changelog);
  if (!heading) throw new Error("CHANGELOG.md has no heading `## [Unreleased]`");
  if (changelog.includes(`\n## [${version}]`)) throw new Error(`CHANGELOG.md has ${version} already`);
  const start = heading.index + heading[0].length;
  const [changes] = changelog.slice(start).split(/^(?:## |\[[^\]]+\]: )/m);
  // Headings alone are not changes.
  if (!/^(?!#)\S/m.test(changes)) {
    throw new Error("CHANGELOG.md has nothing under Unreleased: there is nothing to release");
  }
  const dated = changelog.slice(0, start) + `\n## [${version}] - ${date}\n` + changelog.slice(start);
  return {
    denoJson: denoJson.replace(`"version": "${current}"`, `"version": "${version}"`),
    changelog: followLinks(dated, version),
  };
}

/** `[Unreleased]: …/compare/vA...HEAD` becomes two lines: since the new version, and from A to it. */
function followLinks(changelog: string, version: string): string {
  return changelog.replace(
    /^\[Unreleased\]: (.*\/compare\/)(.*)\.\.\.HEAD$/m,
    (_, address, before) =>
      `[Unreleased]: ${address}v${version}...HEAD\n[${version}]: ${address}${before}...v${version}`,
  );
}
