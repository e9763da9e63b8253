/** A Markdown file of the project. */
export interface MarkdownFile {
  /** Relative to the project's root. */
  readonly name: string;
  readonly text: string;
}

export const ROOT = new URL("../../", import.meta.url);

/** The README, the other documents of the root, and everything in `docs/`. */
export async function readDocuments(): Promise<MarkdownFile[]> {
  const names: string[] = [];
  for (const folder of ["", "docs/"]) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (name.endsWith(".md")) names.push(folder + name);
    }
  }
  return await Promise.all(
    names.sort().map(async (name) => ({
      name,
      text: await Deno.readTextFile(new URL(name, ROOT)),
    })),
  );
}
