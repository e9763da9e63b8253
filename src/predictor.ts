import type { Logger } from "@logtape/logtape";
import { Coalescer } from "./cache/coalesce.ts";
import { cutoutKey, type ImageId, maskKey, sha256 } from "./cache/keys.ts";
import type { Entry, Store } from "./cache/store.ts";
import type { Found } from "./cache/tiered.ts";
import type { CutoutMaker, StageTimes } from "./inference/engine.ts";
import { canonicalRenderOptions, type RenderOptions } from "./inference/render_options.ts";

/** What the predictor needs of a cache: a store that can say which of its tiers had an entry. */
export interface Cache extends Store {
  find(key: string): Promise<Found | undefined>;
}

export interface PredictorParts {
  cache: Cache;
  engine: CutoutMaker;
  /** `content`: an image is known by its bytes. `file_path`: by the name it came under, where it has one. */
  keyBy: "content" | "file_path";
  now?: () => number;
}

export interface PredictRequest {
  readonly image: Uint8Array<ArrayBuffer>;
  /** The name the image came under: for the logs, and for `CACHE_KEY=file_path`. */
  readonly name?: string;
  readonly render: RenderOptions;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
  /** Keeps the process alive for work that nobody waits for. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  readonly logger: Logger;
}

/** Milliseconds spent in each stage, in the order in which they ran. */
export type Timings = { hash?: number; cache?: number } & StageTimes;

export interface Prediction {
  readonly entry: Entry;
  /** The tier that had the file; `mask` where only the mask was known; `inference` where nothing was. */
  readonly source: string;
  /** Whether this answer was made for another request that was under way. */
  readonly collapsed: boolean;
  readonly timings: Timings;
}

/** What comes of the work that requests for one file share. */
interface Made {
  readonly entry: Entry;
  readonly source: "mask" | "inference";
  readonly times: StageTimes;
}

/**
 * The way of a request: result cache, mask cache, inference; and the only place that knows this order. Requests for the
 * same file that come while it is being made wait for it; requests for another rendering of the same image wait for its
 * mask.
 */
export class Predictor {
  readonly #parts: PredictorParts;
  readonly #cutouts = new Coalescer<Made>();
  readonly #masks = new Coalescer<Uint8Array<ArrayBuffer>>();

  constructor(parts: PredictorParts) {
    this.#parts = parts;
  }

  /**
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} where the engine is.
   */
  async predict(request: PredictRequest): Promise<Prediction> {
    const { cache, engine } = this.#parts;
    const timings: Timings = {};
    const image = await timed(timings, "hash", () => this.#identify(request));
    const options = new TextEncoder().encode(canonicalRenderOptions(request.render));
    const key = cutoutKey(engine.modelVersion, image, (await sha256(options)).slice(0, 16));
    const label = request.name ?? image;

    const found = await timed(timings, "cache", () => cache.find(key));
    if (found !== undefined) {
      request.logger.info("cache hit: {name}", { name: label, tier: found.tier });
      return { entry: found.entry, source: found.tier, collapsed: false, timings };
    }

    const underWay = this.#cutouts.inFlight(key);
    if (underWay !== undefined) {
      const { entry, source } = await underWay;
      request.logger.info("cache hit: {name}", { name: label, tier: "collapsed" });
      return { entry, source, collapsed: true, timings };
    }
    const made = await this.#cutouts.run(key, () => this.#make(request, image, key, label));
    return { entry: made.entry, source: made.source, collapsed: false, timings: { ...timings, ...made.times } };
  }

  async #make(request: PredictRequest, image: ImageId, key: string, label: string): Promise<Made> {
    const { cache, engine, now = Date.now } = this.#parts;
    const maskId = maskKey(engine.modelVersion, image);
    // A mask may come into the making while the cache is asked: look on both sides of that.
    const known = await (this.#masks.inFlight(maskId) ?? cache.get(maskId).then((entry) => entry?.bytes)) ??
      await this.#masks.inFlight(maskId);
    // No signal: others may have joined this work by the time its first client has gone.
    const job = { image: request.image, render: request.render };
    const keep = (entryKey: string, bytes: Uint8Array<ArrayBuffer>, contentType: string): Entry => {
      const entry = { bytes, contentType, created: now() };
      request.waitUntil(cache.set(entryKey, entry));
      return entry;
    };
    if (known !== undefined) {
      const { file, contentType, times } = await engine.cutout({ ...job, maskFile: known });
      request.logger.info("mask hit, registering cache: {name}", { name: label });
      return { entry: keep(key, file, contentType), source: "mask", times };
    }
    const making = engine.cutout(job);
    const mask = this.#masks.run(maskId, async () => (await making).maskFile!);
    // Whoever waits for the mask hears of a failure; here `making` itself is awaited.
    mask.catch(() => {});
    const { file, contentType, times, maskFile } = await making;
    request.logger.info("registering cache: {name}", { name: label });
    keep(maskId, maskFile!, "image/png");
    return { entry: keep(key, file, contentType), source: "inference", times };
  }

  async #identify({ image, name }: PredictRequest): Promise<ImageId> {
    if (this.#parts.keyBy === "file_path" && name !== undefined) {
      return `name:${await sha256(new TextEncoder().encode(name))}`;
    }
    return await sha256(image);
  }
}

async function timed<T>(timings: Timings, stage: keyof Timings, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    return await work();
  } finally {
    timings[stage] = performance.now() - started;
  }
}
