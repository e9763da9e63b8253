import type { Logger } from "@logtape/logtape";
import type { CutoutResult } from "../../cutouts/service.ts";

/*
 * What the CDN in front of Deno Deploy is told beside RFC 9111 (https://docs.deno.com/deploy/reference/caching/). Other
 * caches pay no attention to it.
 */

/** A tag that every cutout carries. */
const EVERYTHING = "cutcache";

/**
 * By `Deno-Cache-Id` an answer is kept across deployments: its key changes with model, image and options. By a tag it is
 * purged: its image's digest, or that of all.
 */
export function cdnHeaders({ image, key }: CutoutResult): Record<string, string> {
  return { "Deno-Cache-Id": key, "Deno-Cache-Tag": `${image},${EVERYTHING}` };
}

export interface PurgerOptions {
  /** Where tags are sent to, as `{"tags": […]}`. */
  url: string;
  timeoutMs: number;
  logger: Logger;
  fetch?: typeof fetch;
}

/** Has a CDN forget what was deleted here. Where none answers there is none to tell. */
export class CdnPurger {
  readonly #options: PurgerOptions;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  /** Resolves to whether a CDN has purged what carries the image's tag, or everything where no image is given. */
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
    if (!response.ok) logger.warn("{url} answered {status}: nothing was purged", { url, status: response.status });
    return response.ok;
  }
}
