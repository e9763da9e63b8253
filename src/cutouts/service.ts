import { ifUnavailable, ImageError } from "../base/errors.ts";
import { sha256 } from "../base/hash.ts";
import { cutoutKey, type ImageId, maskKey as maskKeyOf } from "../cache/keys.ts";
import type { MemoryStore } from "../cache/memory.ts";
import type { Entry, EntryOrLease, Store } from "../cache/store.ts";
import type { CacheHit, ReadScope } from "../cache/tiered.ts";
import type { Cutout, CutoutEngine } from "../inference/engine/engine.ts";
import { splitOptions } from "../render/from_cutout.ts";
import { type Observer, timed, type Timings } from "../telemetry/observer.ts";
import { newEntry } from "./entry.ts";
import { MaskSource } from "./mask_source.ts";
import { type CutoutProgress, ProgressTracker } from "./progress.ts";
import { digestOf } from "./render_digest.ts";
import { represent, RepresentationCache } from "./representation.ts";
import type { CacheUse, CutoutRequest, CutoutResult, RenderingRequest, WorkRequest } from "./request.ts";
import { SingleFlight } from "./single_flight.ts";

/** A store that reports which tier had an entry, and whose memory tier can be read synchronously. */
export interface CutoutCache extends Store {
  readonly memory: Pick<MemoryStore, "read" | "readStale" | "write">;
  find(key: string, scope?: ReadScope): Promise<CacheHit | undefined>;
  getOrLease(key: string, milliseconds: number): Promise<EntryOrLease>;
  setAll(entries: ReadonlyMap<string, Entry>): Promise<void>;
}

export interface CutoutServiceOptions {
  cache: CutoutCache;
  engine: CutoutEngine;
  /** `content` identifies an image by its bytes, `file_path` by its name if it has one. */
  keyBy: "content" | "file_path";
  /** How long a process that died during an inference blocks the others, in milliseconds. */
  leaseMs: number;
  /** How long to wait for another process's inference, in milliseconds. */
  leaseWaitMs: number;
  observer?: Pick<Observer, "stage" | "answered">;
  now?: () => number;
}

/** Number of requests per outcome since start. */
export interface CutoutCounts {
  /** Served from the cache, by tier. */
  readonly hits: Readonly<Record<string, number>>;
  /** Rendered from another cutout that the cache had. */
  readonly cutouts: number;
  /** Rendered from a cached mask. */
  readonly masks: number;
  readonly inferences: number;
  /** Served with the result of another request that was already running. */
  readonly coalesced: number;
}

/** The result of work that all requests for one file share. */
interface RenderResult {
  readonly entry: Entry;
  readonly source: "cutout" | "mask" | "inference";
  readonly times: Timings;
}

/**
 * The path of a request: look up the file; if the cache does not have it, look up or infer the mask, then render.
 * Requests for a file that is being made wait for it. Requests for another rendering of the same image wait for its
 * mask, whether this process infers it or another one does.
 */
export class CutoutService {
  readonly #options: CutoutServiceOptions;
  readonly #representations: RepresentationCache;
  readonly #masks: MaskSource;
  readonly #progress = new ProgressTracker();
  readonly #flights = new SingleFlight<RenderResult>();
  readonly #counts = { hits: {} as Record<string, number>, cutouts: 0, masks: 0, inferences: 0, coalesced: 0 };
  readonly #now: () => number;

  constructor(options: CutoutServiceOptions) {
    const { cache, leaseMs, leaseWaitMs, now = Date.now } = options;
    this.#options = options;
    this.#now = now;
    this.#representations = new RepresentationCache(cache.memory);
    this.#masks = new MaskSource({
      cache,
      infer: (request, maskKey, options) => this.#render(request, maskKey, options),
      leaseMs,
      leaseWaitMs,
      now,
    });
  }

  get counts(): CutoutCounts {
    return this.#counts;
  }

  /** The progress of the request with this id; undefined if there is none, or if the cache serves it. */
  progress(requestId: string): CutoutProgress | undefined {
    return this.#progress.of(requestId);
  }

  /**
   * The cached cutout of an image known by its id; undefined if it has to be made.
   * @throws {StoreUnavailableError} if memory does not have it and the durable store cannot tell.
   * @throws {UnknownModelError}
   */
  find(image: ImageId, request: RenderingRequest, scope: ReadScope): Promise<CutoutResult | undefined> {
    return this.#observed(async () => await this.#lookUp(image, await this.#keyOf(image, request), request, scope, {}));
  }

  /**
   * The cutout of the image with this id, from the cache or rendered from another cutout of the image that the cache has;
   * undefined if the image itself is needed.
   * @throws {ImageError} if the options are the cause.
   * @throws {EngineError} if the engine is the cause.
   * @throws {UnknownModelError}
   */
  findOrRender(image: ImageId, request: WorkRequest, scope: ReadScope): Promise<CutoutResult | undefined> {
    return this.#observed(async () => {
      const key = await this.#keyOf(image, request);
      const timings: Timings = {};
      return await this.#lookUp(image, key, request, scope, timings) ??
        await this.#renderCutout(image, key, request, scope, timings);
    });
  }

  /**
   * The cutout of an image, from the cache if possible.
   * @throws {ImageError} if the image or the options are the cause.
   * @throws {EngineError} if the engine is the cause.
   * @throws {UnknownModelError}
   */
  cutOut(request: CutoutRequest): Promise<CutoutResult> {
    return this.#observed(() => this.#cutOut(request));
  }

  async #cutOut(request: CutoutRequest): Promise<CutoutResult> {
    const { cacheUse = "default", representation } = request;
    const timings: Timings = {};
    const image = await timed(timings, "hash", () => this.#identify(request), this.#options.observer);
    const key = await this.#keyOf(image, request);
    if (cacheUse === "default") {
      const hit = await this.#lookUp(image, key, request, "all", timings).catch(ifUnavailable(undefined));
      if (hit !== undefined) return hit;
    }
    requireBackground(request);
    const maskKey = maskKeyOf(this.#options.engine.modelVersion(request.model), image, request.cacheScope);
    using _ = this.#progress.follow(request.requestId, maskKey);
    if (cacheUse === "bypass") {
      const cutout = await this.#render(request, maskKey, { signal: request.signal });
      const entry = represent(await newEntry(cutout, this.#now), representation);
      this.#counts.inferences++;
      return {
        ...{ entry, image, key, source: "inference", coalesced: false, cacheUse },
        timings: { ...timings, ...cutout.times },
      };
    }
    return await this.#share(
      { image, key, request, cacheUse, timings },
      (signal) => this.#make(request, { key, maskKey, signal }),
    );
  }

  /** Does work once for all requests that wait for the same file. */
  async #share(
    { image, key, request, cacheUse, timings }: {
      image: ImageId;
      key: string;
      request: WorkRequest;
      cacheUse: CacheUse;
      timings: Timings;
    },
    work: (signal: AbortSignal) => Promise<RenderResult>,
  ): Promise<CutoutResult> {
    // A request for a new result must not join work that started before it.
    const { value, leads } = await this.#flights.join(`${cacheUse} ${key}`, work, request.signal);
    const { entry: file, source, times } = value;
    const entry = this.#representations.represent(key, file, request.representation);
    const result = { entry, image, key, source, coalesced: !leads, cacheUse };
    if (!leads) {
      this.#counts.coalesced++;
      return { ...result, timings };
    }
    this.#counts[COUNTED_AS[source]]++;
    return { ...result, timings: { ...timings, ...times } };
  }

  /** Renders a cutout of the image that the cache has; undefined if there is none, or if it does not suffice. */
  async #renderCutout(
    image: ImageId,
    key: string,
    request: WorkRequest,
    scope: ReadScope,
    timings: Timings,
  ): Promise<CutoutResult | undefined> {
    const steps = splitOptions(request.render);
    if (steps === undefined) return undefined;
    const cutoutKey = await this.#keyOf(image, { ...request, render: steps.from });
    const found = await this.#options.cache.find(cutoutKey, scope);
    if (found === undefined) return undefined;
    return await this.#share({ image, key, request, cacheUse: "default", timings }, async (signal) => {
      const job = { image: found.entry.bytes, isCutout: true, model: request.model, render: steps.rest, signal };
      const cutout = await this.#options.engine.cutout(job);
      return await this.#keep(cutout, "cutout", request, key);
    });
  }

  async #lookUp(
    image: ImageId,
    key: string,
    request: RenderingRequest,
    scope: ReadScope,
    timings: Timings,
  ): Promise<CutoutResult | undefined> {
    const found = await timed(timings, "cache", () => this.#find(key, request, scope), this.#options.observer);
    if (found === undefined) return undefined;
    const { entry, tier } = found;
    this.#counts.hits[tier] = (this.#counts.hits[tier] ?? 0) + 1;
    return { entry, image, key, source: tier, coalesced: false, cacheUse: "default", timings };
  }

  /** The file in the request's representation, which memory may already have; without one, the file itself. */
  async #find(key: string, { representation }: RenderingRequest, scope: ReadScope): Promise<CacheHit | undefined> {
    const ready = representation && scope === "all" ? this.#representations.read(key, representation) : undefined;
    if (ready !== undefined) return { entry: ready, tier: "memory" };
    const found = await this.#options.cache.find(key, scope);
    return found && { entry: this.#representations.represent(key, found.entry, representation), tier: found.tier };
  }

  /** Makes a file that the cache does not have, and stores it. */
  async #make(
    request: CutoutRequest,
    { key, maskKey, signal }: { key: string; maskKey: string; signal: AbortSignal },
  ): Promise<RenderResult> {
    const { mask, made } = await this.#masks.get(request, { key, maskKey }, signal);
    if (made !== undefined) return { ...made, source: "inference" };
    const cutout = await this.#render(request, maskKey, { maskFile: mask, signal });
    return await this.#keep(cutout, "mask", request, key);
  }

  /** Stores a new file after the response. */
  async #keep(
    cutout: Cutout,
    source: RenderResult["source"],
    request: WorkRequest,
    key: string,
  ): Promise<RenderResult> {
    const entry = await newEntry(cutout, this.#now);
    request.waitUntil(this.#options.cache.set(key, entry));
    return { entry, source, times: cutout.times };
  }

  /** Renders an image in the engine, from its mask if `maskFile` is given, otherwise after an inference. */
  async #render(
    request: CutoutRequest,
    maskKey: string,
    options: { maskFile?: Uint8Array<ArrayBuffer>; signal?: AbortSignal; onTurn?: () => Promise<void> },
  ): Promise<Cutout> {
    const { image, background, model, render } = request;
    using job = this.#progress.enqueue(maskKey, options.maskFile === undefined ? "infer" : "render");
    const onState = (state: "inferring" | "rendering") => job.enter(state);
    const cutout = await this.#options.engine.cutout({ image, background, model, render, onState, ...options });
    this.#progress.rendered(maskKey);
    return cutout;
  }

  async #observed<Result extends CutoutResult | undefined>(work: () => Promise<Result>): Promise<Result> {
    const started = performance.now();
    const result = await work();
    if (result !== undefined) {
      const { coalesced, source } = result;
      this.#options.observer?.answered(coalesced ? "coalesced" : source, performance.now() - started);
    }
    return result;
  }

  async #identify({ image, keyName }: CutoutRequest): Promise<ImageId> {
    if (this.#options.keyBy === "content" || keyName === undefined) return await sha256(image);
    return `name:${await sha256(new TextEncoder().encode(keyName))}`;
  }

  async #keyOf(image: ImageId, { model, render, cacheScope }: RenderingRequest): Promise<string> {
    return cutoutKey(this.#options.engine.modelVersion(model), image, await digestOf(render), cacheScope);
  }
}

const COUNTED_AS = { cutout: "cutouts", mask: "masks", inference: "inferences" } as const;

/** @throws {ImageError} `background_missing` */
function requireBackground({ render, background }: CutoutRequest): void {
  if (render.background_image === undefined || background !== undefined) return;
  throw new ImageError("background_missing", "background_image names an image that was not sent");
}
