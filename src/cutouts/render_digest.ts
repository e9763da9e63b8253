import { sha256 } from "../base/hash.ts";
import { canonicalRenderOptions, type RenderOptions } from "../render/options.ts";

/** In hexadecimal digits: enough to distinguish the renderings of one image. */
const DIGEST_LENGTH = 16;

/** Most requests share the default options object, so its digest is computed only once. */
const digests = new WeakMap<RenderOptions, Promise<string>>();

/** The digest of render options, for the keys of results. */
export function digestOf(options: RenderOptions): Promise<string> {
  let digest = digests.get(options);
  if (digest === undefined) {
    const canonical = new TextEncoder().encode(canonicalRenderOptions(options));
    digest = sha256(canonical).then((hex) => hex.slice(0, DIGEST_LENGTH));
    digests.set(options, digest);
  }
  return digest;
}
