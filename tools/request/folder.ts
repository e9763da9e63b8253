import { extname, join } from "node:path";

const IMAGE_EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"]);

/** An image in the input folder, and the name of its cutout in the output folder. */
export interface Image {
  name: string;
  cutoutName: string;
}

/**
 * Lists the images directly inside a folder, sorted by name. `ignored` are the names of everything that is not a regular
 * file with an image's extension: other files, folders, symbolic links.
 *
 * @throws {Deno.errors.NotFound | Deno.errors.NotADirectory}
 */
export async function listFolder(dir: string): Promise<{ images: Image[]; ignored: string[] }> {
  const images: string[] = [];
  const ignored: string[] = [];
  for await (const { name, isFile } of Deno.readDir(dir)) {
    (isFile && IMAGE_EXTENSIONS.has(extname(name).toLowerCase()) ? images : ignored).push(name);
  }
  return { images: nameCutouts(images.sort()), ignored: ignored.sort() };
}

/**
 * Names each cutout `STEM.png`, or `NAME.png` if the stem alone would be ambiguous: `a.jpg` and `a.png` become
 * `a.jpg.png` and `a.png.png`.
 *
 * @example nameCutouts(["b.jpg"]) // [{ name: "b.jpg", cutoutName: "b.png" }]
 */
export function nameCutouts(names: string[]): Image[] {
  const stemOf = (name: string) => name.slice(0, -extname(name).length);
  const claims = new Map<string, number>();
  // A full name is a claim too: `a.jpg.webp` must not take the `a.jpg.png` that `a.jpg` may need. Case is ignored
  // because the file system of the output folder may ignore it.
  for (const claim of names.flatMap((name) => [name, stemOf(name)])) {
    claims.set(claim.toLowerCase(), (claims.get(claim.toLowerCase()) ?? 0) + 1);
  }
  return names.map((name) => {
    const stem = stemOf(name);
    return { name, cutoutName: `${claims.get(stem.toLowerCase()) === 1 ? stem : name}.png` };
  });
}

/** Writes a temporary file in the same folder and renames it, so that the name never refers to an incomplete file. */
export async function writeAtomically(dir: string, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dir, `.${crypto.randomUUID()}.part`);
  try {
    await Deno.writeFile(temporary, bytes, { createNew: true });
    await Deno.rename(temporary, join(dir, name));
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}
