import { sha256 } from "../base/hash.ts";
import type { Entry } from "../cache/store.ts";
import type { Cutout } from "../inference/engine/engine.ts";

/** In hexadecimal digits: 128 bits tell files apart as well as 256 bits would. */
const ETAG_LENGTH = 32;

/** The cache entry of a new file. */
export async function newEntry(
  { file, contentType, layout }: Pick<Cutout, "file" | "contentType"> & Partial<Pick<Cutout, "layout">>,
  now: () => number,
): Promise<Entry> {
  const etag = (await sha256(file)).slice(0, ETAG_LENGTH);
  return { bytes: file, contentType, created: now(), etag, ...(layout && { layout }) };
}
