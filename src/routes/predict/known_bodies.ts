import { LRUCache } from "lru-cache";
import type { Sha256Hex } from "../../base/hash.ts";
import type { ImageId } from "../../cache/keys.ts";
import type { RenderingRequest } from "../../cutouts/request.ts";

/** The content of a parsed body: its image's id and the requested rendering. */
export type KnownBody = { readonly image: ImageId } & Pick<RenderingRequest, "name" | "model" | "render">;

/** About 500 bytes each. */
const MAX_BODIES = 4096;

/**
 * Remembers bodies by their digest. A repeated body is neither parsed nor decoded, which saves half the time of a memory
 * hit.
 */
export class KnownBodies {
  readonly #bodies = new LRUCache<Sha256Hex, KnownBody>({ max: MAX_BODIES });

  get(digest: Sha256Hex): KnownBody | undefined {
    return this.#bodies.get(digest);
  }

  set(digest: Sha256Hex, { image, name, model, render }: KnownBody): void {
    this.#bodies.set(digest, { image, name, model, render });
  }
}
