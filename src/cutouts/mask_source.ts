import type { Logger } from "@logtape/logtape";
import { setTimeout as delay } from "node:timers/promises";
import { ImageError, messageOf, RENDER_ERRORS } from "../base/errors.ts";
import { type Entry, type EntryOrLease, type Lease, NO_LEASE, type Store } from "../cache/store.ts";
import type { Cutout } from "../inference/engine/engine.ts";
import { newEntry } from "./entry.ts";
import type { CutoutRequest } from "./request.ts";
import { SingleFlight } from "./single_flight.ts";

/** Infers the image of a request and renders it. */
export type Infer = (request: CutoutRequest, maskKey: string, signal: AbortSignal) => Promise<Cutout>;

export interface MaskSourceOptions {
  cache: Pick<Store, "set"> & { getOrLease(key: string, milliseconds: number): Promise<EntryOrLease> };
  infer: Infer;
  /** How long a process that died during an inference blocks the others, in milliseconds. */
  leaseMs: number;
  /** How long to wait for another process's inference, in milliseconds. */
  leaseWaitMs: number;
  now: () => number;
}

export interface MaskResult {
  /** A grayscale PNG at the model's resolution. */
  readonly mask: Uint8Array<ArrayBuffer>;
  /** The cutout that was rendered along with it, if the mask was inferred for this request. */
  readonly cutout?: Cutout;
}

/** The interval between two checks on another process's inference, in milliseconds. It grows with every check. */
const MIN_CHECK_MS = 25;
const MAX_CHECK_MS = 250;
const CHECK_GROWTH = 1.5;

/**
 * Gets an image's mask: from the cache, from an inference running in this process or in another one, or from a new
 * inference. A lease in the shared store keeps two processes from inferring the same image.
 */
export class MaskSource {
  readonly #options: MaskSourceOptions;
  readonly #flights = new SingleFlight<MaskResult>({
    // A rendering that fails because of its own options must not fail the other requests, which only need the mask.
    concernsLeaderOnly: (error) => error instanceof ImageError && RENDER_ERRORS.has(error.code),
  });

  constructor(options: MaskSourceOptions) {
    this.#options = options;
  }

  async get(request: CutoutRequest, maskKey: string, signal: AbortSignal): Promise<MaskResult> {
    const { value: { mask, cutout }, leads } = await this.#flights.join(
      // A request for a new mask must not join an inference that started before it.
      `${request.cacheUse ?? "default"} ${maskKey}`,
      (signal) => this.#findOrInfer(request, maskKey, signal),
      signal,
    );
    return leads ? { mask, cutout } : { mask };
  }

  async #findOrInfer(request: CutoutRequest, maskKey: string, signal: AbortSignal): Promise<MaskResult> {
    if (request.cacheUse === "refresh") return await this.#infer(request, maskKey, NO_LEASE, signal);
    const found = await this.#findOrLease(maskKey, signal);
    if ("entry" in found) return { mask: found.entry.bytes };
    return await this.#infer(request, maskKey, found.lease, signal);
  }

  /** The mask, or the lease to infer it. While another process holds the lease, this waits for its mask. */
  async #findOrLease(maskKey: string, signal: AbortSignal): Promise<{ entry: Entry } | { lease: Lease }> {
    const { cache, leaseMs, leaseWaitMs } = this.#options;
    const deadline = performance.now() + leaseWaitMs;
    for (let checkMs = MIN_CHECK_MS;; checkMs = Math.min(MAX_CHECK_MS, CHECK_GROWTH * checkMs)) {
      const found = await cache.getOrLease(maskKey, leaseMs);
      if (found !== undefined) return found;
      if (performance.now() > deadline) return { lease: NO_LEASE };
      await delay(checkMs, undefined, { signal });
    }
  }

  async #infer(request: CutoutRequest, maskKey: string, lease: Lease, signal: AbortSignal): Promise<MaskResult> {
    const { cache, infer, now } = this.#options;
    let written: Promise<void> = Promise.resolve();
    try {
      const cutout = await infer(request, maskKey, signal);
      const mask = cutout.maskFile!;
      written = cache.set(maskKey, await newEntry({ file: mask, contentType: "image/png" }, now));
      return { mask, cutout };
    } finally {
      // Released after the write, because the next process to get the lease must find the mask.
      request.waitUntil(written.finally(() => release(lease, request.logger)));
    }
  }
}

/** A lease that cannot be released expires. */
async function release(lease: Lease, logger: Logger): Promise<void> {
  await lease.release().catch((error) => {
    logger.warn("failed to release a lease: {error}", { error: messageOf(error) });
  });
}
