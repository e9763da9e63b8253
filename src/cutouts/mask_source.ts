import type { Logger } from "@logtape/logtape";
import { setTimeout as delay } from "node:timers/promises";
import { ImageError, messageOf, RENDER_ERRORS } from "../base/errors.ts";
import { type Entry, type EntryOrLease, type Lease, NO_LEASE } from "../cache/store.ts";
import type { Cutout } from "../inference/engine/engine.ts";
import { newEntry } from "./entry.ts";
import type { CutoutRequest } from "./request.ts";
import { SingleFlight } from "./single_flight.ts";

/**
 * Infers the image of a request and renders it.
 * @param onTurn awaited when the job's turn has come; if it rejects, so does the job.
 */
export type Infer = (
  request: CutoutRequest,
  maskKey: string,
  options: { signal: AbortSignal; onTurn: () => Promise<void> },
) => Promise<Cutout>;

export interface MaskCache {
  /** Answers at once. */
  readonly memory: { read(key: string): Entry | undefined };
  get(key: string): Promise<Entry | undefined>;
  getOrLease(key: string, milliseconds: number): Promise<EntryOrLease>;
  setAll(entries: ReadonlyMap<string, Entry>): Promise<void>;
}

export interface MaskSourceOptions {
  cache: MaskCache;
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
  /** The cutout that was rendered and kept along with it, if the mask was inferred for this request. */
  readonly made?: { readonly entry: Entry; readonly times: Cutout["times"] };
}

/** The keys of a cutout and of the mask that it is rendered from. */
export interface Keys {
  readonly key: string;
  readonly maskKey: string;
}

/** The interval between two checks on another process's inference, in milliseconds. It grows with every check. */
const MIN_CHECK_MS = 50;
const MAX_CHECK_MS = 1000;
const CHECK_GROWTH = 1.5;

/** How long a job waits for its turn before the store is asked for its mask, in milliseconds. */
const CHECK_IN_QUEUE_MS = 100;

/**
 * Gets an image's mask: from the cache, from an inference running in this process or in another one, or from a new
 * inference. A lease in the shared store keeps two processes from inferring the same image. It is taken when the job's turn
 * has come, so that each process takes only as much work as it can do at once.
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

  async get(request: CutoutRequest, keys: Keys, signal: AbortSignal): Promise<MaskResult> {
    const { value: { mask, made }, leads } = await this.#flights.join(
      // A request for a new mask must not join an inference that started before it.
      `${request.cacheUse ?? "default"} ${keys.maskKey}`,
      (signal) => this.#findOrInfer(request, keys, signal),
      signal,
    );
    return leads ? { mask, made } : { mask };
  }

  async #findOrInfer(request: CutoutRequest, keys: Keys, signal: AbortSignal): Promise<MaskResult> {
    if (request.cacheUse === "refresh") return await this.#infer(request, keys, signal, NO_LEASE);
    const known = this.#options.cache.memory.read(keys.maskKey);
    if (known !== undefined) return { mask: known.bytes };
    try {
      return await this.#infer(request, keys, signal);
    } catch (error) {
      if (error instanceof MaskFound) return { mask: error.entry.bytes };
      if (!(error instanceof LeasedElsewhere)) throw error;
    }
    const found = await this.#waitForOther(keys.maskKey, signal);
    return "entry" in found ? { mask: found.entry.bytes } : await this.#infer(request, keys, signal, found.lease);
  }

  /** The mask that another process makes; or, if it gives up or takes too long, the lease. */
  async #waitForOther(maskKey: string, signal: AbortSignal): Promise<{ entry: Entry } | { lease: Lease }> {
    const { cache, leaseMs, leaseWaitMs } = this.#options;
    const deadline = performance.now() + leaseWaitMs;
    for (let checkMs = MIN_CHECK_MS;; checkMs = Math.min(MAX_CHECK_MS, CHECK_GROWTH * checkMs)) {
      await delay(checkMs, undefined, { signal });
      const found = await cache.getOrLease(maskKey, leaseMs);
      if (found !== undefined) return found;
      if (performance.now() > deadline) return { lease: NO_LEASE };
    }
  }

  /**
   * Infers and renders, and keeps mask and cutout. Without a lease, takes one when the job's turn has come.
   * @throws {MaskFound} if the store has the mask after all.
   * @throws {LeasedElsewhere} if another process is inferring it.
   */
  async #infer(request: CutoutRequest, { key, maskKey }: Keys, signal: AbortSignal, held?: Lease): Promise<MaskResult> {
    const { cache, infer, now } = this.#options;
    let lease = held;
    let over = false;
    const waiting = held === undefined ? this.#checkWhileWaiting(maskKey) : undefined;
    const onTurn = async () => {
      waiting?.end();
      if (held !== undefined) return;
      const taken = await this.#takeLease(maskKey);
      // Nobody waits for the mask any more.
      if (over) await taken.end({ written: false });
      else lease = taken;
    };
    let written: Promise<void> | undefined;
    try {
      const signals = waiting === undefined ? signal : AbortSignal.any([signal, waiting.signal]);
      const cutout = await infer(request, maskKey, { signal: signals, onTurn });
      const mask = cutout.maskFile!;
      const entry = await newEntry(cutout, now);
      const maskEntry = await newEntry({ file: mask, contentType: "image/png" }, now);
      written = cache.setAll(new Map([[maskKey, maskEntry], [key, entry]]));
      return { mask, made: { entry, times: cutout.times } };
    } finally {
      over = true;
      waiting?.end();
      if (lease !== undefined) request.waitUntil(endLease(lease, written, request.logger));
    }
  }

  /** @throws {MaskFound | LeasedElsewhere} */
  async #takeLease(maskKey: string): Promise<Lease> {
    const found = await this.#options.cache.getOrLease(maskKey, this.#options.leaseMs);
    if (found === undefined) throw new LeasedElsewhere();
    if ("entry" in found) throw new MaskFound(found.entry);
    return found.lease;
  }

  /** Takes a job out of the queue if the store has its mask: a known mask must not wait for other images' inferences. */
  #checkWhileWaiting(maskKey: string): { signal: AbortSignal; end(): void } {
    const found = new AbortController();
    let ended = false;
    const timer = setTimeout(async () => {
      const entry = await this.#options.cache.get(maskKey).catch(() => undefined);
      if (entry !== undefined && !ended) found.abort(new MaskFound(entry));
    }, CHECK_IN_QUEUE_MS);
    const end = () => {
      ended = true;
      clearTimeout(timer);
    };
    return { signal: found.signal, end };
  }
}

/** The store has the mask that a job was going to infer. */
class MaskFound extends Error {
  constructor(readonly entry: Entry) {
    super("the mask is in the store");
  }
}

/** Another process infers the mask that a job was going to infer. */
class LeasedElsewhere extends Error {}

/** Ends a lease after the write: a process that gets it must find the mask. A lease that cannot be ended expires. */
async function endLease(lease: Lease, writing: Promise<void> | undefined, logger: Logger): Promise<void> {
  const written = writing !== undefined && await writing.then(() => true, () => false);
  await lease.end({ written }).catch((error) => {
    logger.warn("failed to release a lease: {error}", { error: messageOf(error) });
  });
  // Rejects, so that a lost write is logged and counted.
  await writing;
}
