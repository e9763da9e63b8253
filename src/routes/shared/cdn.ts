import type { Logger } from "@logtape/logtape";
import type { CutoutResult } from "../../cutouts/request.ts";

/*
 * Deno Deploy's own cache fields, in addition to those of RFC 9111 (https://docs.deno.com/deploy/reference/caching/). Other
 * caches ignore them.
 */

/** A tag that every cutout has. */
const EVERYTHING = "cutcache";

/**
 * `Deno-Cache-Id` keeps a response across deployments, since the key changes with model, image and options. Either tag
 * purges it: the image's digest, or the tag that all cutouts share.
 */
export function cdnHeaders({ image, key }: CutoutResult): Record<string, string> {
  return { "Deno-Cache-Id": key, "Deno-Cache-Tag": `${image},${EVERYTHING}` };
}

export interface PurgerOptions {
  /** The address that gets `{"tags": […]}`. */
  url: string;
  timeoutMs: number;
  logger: Logger;
  fetch?: typeof fetch;
}

/** Purges deleted cutouts from the CDN in front of the server, if there is one. */
export class CdnPurger {
  readonly #options: PurgerOptions;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  /** Purges the cutouts of an image, or all cutouts. Resolves to whether a CDN has purged them. */
  async purge(image = EVERYTHING): Promise<boolean> {
    const { url, timeoutMs, logger, fetch = globalThis.fetch } = this.#options;
    let response: Response;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ tags: [image] }),
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
      await response.body?.cancel();
    } catch (error) {
      logger.debug("no CDN was purged: {error}", { error: (error as Error).message });
      return false;
    }
    if (!response.ok) logger.warn("{url} returned {status}; nothing was purged", { url, status: response.status });
    return response.ok;
  }
}
