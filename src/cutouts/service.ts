import type { Logger } from "@logtape/logtape";
import { setTimeout as delay } from "node:timers/promises";
import { SingleFlight } from "./single_flight.ts";
import { cutoutKey, type ImageId, maskKey } from "../cache/keys.ts";
import { sha256 } from "../base/hash.ts";
import type { Entry, EntryOrLease, Lease, Store } from "../cache/store.ts";
import type { CacheHit, ReadScope } from "../cache/tiered.ts";
import type { Cutout, CutoutEngine, Progress } from "../inference/engine/engine.ts";
import { ImageError, RENDER_ERRORS } from "../base/errors.ts";
import { canonicalRenderOptions, type RenderOptions } from "../render/options.ts";
import { type Observer, timed, type Timings } from "../telemetry/observer.ts";

/** What the cutouts needs of a cache: a store that can say which of its tiers had an entry, and its first tier. */
export interface Cache extends Store {
  readonly memory: {
    read(key: string): Entry | undefined;
    readStale(key: string): Entry | undefined;
    write(key: string, entry: Entry, as?: string): void;
  };
  find(key: string, reach?: ReadScope): Promise<CacheHit | undefined>;
  getOrLease(key: string, milliseconds: number): Promise<EntryOrLease>;
}

/** What a dialect makes of a file, such as JSON around it. Memory keeps it, so that it is made once. */
export interface Form {
  /** Keeps it apart from other forms of the same file. */
  readonly name: string;
  readonly make: (file: Entry) => Pick<Entry, "bytes" | "ready" | "contentType">;
}

export interface CutoutServiceOptions {
  cache: Cache;
  engine: CutoutEngine;
  /** `content`: an image is known by its bytes. `file_path`: by the name it came under, where it has one. */
  keyBy: "content" | "file_path";
  /** How long a process that stopped in the middle of an inference keeps others from it, in milliseconds. */
  leaseMs: number;
  /** How long another process's inference is waited for, in milliseconds. */
  leaseWaitMs: number;
  observer?: Pick<Observer, "stage" | "answered">;
  now?: () => number;
}

/**
 * What a request wants of the cache (RFC 9111, section 5.2.1). `refresh` (no-cache): an answer made anew, which is kept.
 * `bypass` (no-store): neither reads nor writes.
 */
export type CacheUse = "default" | "refresh" | "bypass";

/** Which file is meant. */
export interface FileRequest {
  /** The model's name; the default one where it is not given. */
  readonly model?: string;
  readonly render: RenderOptions;
  /** The name the image came under, for the logs. */
  readonly name?: string;
  /** The form of the answer; without it, the file as it is. */
  readonly form?: Form;
  readonly logger: Logger;
}

export interface PredictRequest extends FileRequest {
  readonly image: Uint8Array<ArrayBuffer>;
  /** What the image is known by where the cache is keyed by name (`CACHE_KEY=file_path`). */
  readonly keyName?: string;
  /** The file of the picture that `render.background_image` names. */
  readonly background?: Uint8Array<ArrayBuffer>;
  readonly cacheUse?: CacheUse;
  /** What {@link CutoutService.progress} knows the request by, where it is a UUID: an id that nobody guesses. */
  readonly requestId?: string;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
  /** Keeps the process alive for work that nobody waits for. */
  readonly waitUntil: (work: Promise<unknown>) => void;
}

export interface CutoutResult {
  /** The file, or its form. */
  readonly entry: Entry;
  readonly image: ImageId;
  /** The file's key in the cache. */
  readonly key: string;
  /** The tier that had the file; `mask` where only the mask was known; `inference` where nothing was. */
  readonly source: string;
  /** Whether this answer was made for another request that was under way. */
  readonly collapsed: boolean;
  readonly cacheUse: CacheUse;
  readonly timings: Timings;
}

/** Where a request is; without `position` it waits for something else than its turn, such as another process. */
export type JobProgress = Progress | { readonly state: "waiting"; readonly position?: undefined };

/** How often each way was gone since the start. */
export interface CutoutCounts {
  /** Answers from the cache, by the tier that had them. */
  readonly hits: Readonly<Record<string, number>>;
  /** Answers rendered from a known mask. */
  readonly masks: number;
  /** Answers that took an inference. */
  readonly inferences: number;
  /** Answers made for another request that was under way. */
  readonly collapsed: number;
}

/** What comes of the work that requests for one file share. */
interface RenderResult {
  readonly entry: Entry;
  readonly source: "mask" | "inference";
  readonly times: Timings;
}

/** A mask as a file and, where it was inferred, the cutout that was rendered with it. */
interface MaskResult {
  readonly mask: Uint8Array<ArrayBuffer>;
  readonly cutout?: Cutout;
}

/** Between two looks at what another process is doing, in milliseconds; longer from look to look. */
const FIRST_LOOK_MS = 25;
const LAST_LOOK_MS = 250;

/**
 * The way of a request: result cache, mask cache, inference; and the only place that knows this order. Requests for the
 * same file that come while it is being made wait for it; requests for another rendering of the same image wait for its
 * mask, whichever process infers it.
 */
export class CutoutService {
  readonly #parts: CutoutServiceOptions;
  readonly #cutouts = new SingleFlight<RenderResult>();
  readonly #masks = new SingleFlight<MaskResult>();
  /** What requests are about which the cache could not answer, by their ids. */
  readonly #underWay = new Map<string, { readonly maskId: string; rendered: boolean }>();
  readonly #counts = { hits: {} as Record<string, number>, masks: 0, inferences: 0, collapsed: 0 };

  constructor(parts: CutoutServiceOptions) {
    this.#parts = parts;
  }

  get counts(): CutoutCounts {
    return this.#counts;
  }

  /**
   * What the cache has of an image, by its digest; undefined where it has to be made.
   * @throws {UnknownModelError}
   */
  find(image: ImageId, request: FileRequest, reach: ReadScope): Promise<CutoutResult | undefined> {
    return this.#observed(() => this.#lookUp(image, request, reach));
  }

  /** Where the request with this id is; undefined where there is none, or the cache answers it. */
  progress(requestId: string): JobProgress | undefined {
    const request = this.#underWay.get(requestId);
    if (request === undefined) return undefined;
    const { maskId, rendered } = request;
    return this.#parts.engine.progress(maskId) ?? (rendered ? { state: "rendering" } : { state: "waiting" });
  }

  /**
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} where the engine is.
   * @throws {UnknownModelError}
   */
  predict(request: PredictRequest): Promise<CutoutResult> {
    return this.#observed(() => this.#predict(request));
  }

  async #observed<P extends CutoutResult | undefined>(work: () => Promise<P>): Promise<P> {
    const started = performance.now();
    const prediction = await work();
    if (prediction !== undefined) {
      const { collapsed, source } = prediction;
      this.#parts.observer?.answered(collapsed ? "collapsed" : source, performance.now() - started);
    }
    return prediction;
  }

  async #lookUp(image: ImageId, request: FileRequest, reach: ReadScope): Promise<CutoutResult | undefined> {
    const { observer } = this.#parts;
    const timings: Timings = {};
    const key = await this.#keyOf(image, request);
    const found = await timed(timings, "cache", () => this.#find(key, request.form, reach), observer);
    return found && this.#hit(image, key, found, request, timings);
  }

  async #predict(request: PredictRequest): Promise<CutoutResult> {
    const { cacheUse = "default", form } = request;
    const { observer } = this.#parts;
    const timings: Timings = {};
    const image = await timed(timings, "hash", () => this.#identify(request), observer);
    const key = await this.#keyOf(image, request);
    if (cacheUse === "default") {
      const found = await timed(timings, "cache", () => this.#find(key, form, "all"), observer);
      if (found !== undefined) return this.#hit(image, key, found, request, timings);
    }
    if (request.render.background_image !== undefined && request.background === undefined) {
      throw new ImageError("background_missing", "background_image names a picture that did not come with the request");
    }
    const maskId = maskKey(this.#parts.engine.modelVersion(request.model), image);
    const work = { key, maskId, label: request.name ?? image };
    using _ = this.#follow(request.requestId, maskId);
    if (cacheUse === "bypass") {
      const cutout = await this.#cutout(request, maskId, { signal: request.signal });
      const { times } = cutout;
      const entry = await this.#entryOf(cutout);
      this.#counts.inferences++;
      return {
        entry: formed(entry, form),
        image,
        key,
        source: "inference",
        collapsed: false,
        cacheUse,
        timings: times,
      };
    }
    // A request for a new answer must not be given one that was begun before it.
    const flight = `${cacheUse} ${key}`;
    const collapsed = this.#cutouts.has(flight);
    const { entry: file, source, times } = await this.#cutouts.run(
      flight,
      (signal) => this.#make(request, { ...work, signal }),
      request.signal,
    );
    const entry = this.#form(form, key, file);
    if (collapsed) {
      request.logger.info("cache hit: {name}", { name: work.label, tier: "collapsed" });
      this.#counts.collapsed++;
      return { entry, image, key, source, collapsed, cacheUse, timings };
    }
    this.#counts[source === "mask" ? "masks" : "inferences"]++;
    return { entry, image, key, source, collapsed, cacheUse, timings: { ...timings, ...times } };
  }

  /** Has {@link progress} tell of a request until it is disposed of. */
  #follow(requestId: string | undefined, maskId: string): Disposable | undefined {
    if (requestId === undefined || !UUID.test(requestId) || this.#underWay.has(requestId)) return undefined;
    this.#underWay.set(requestId, { maskId, rendered: false });
    return { [Symbol.dispose]: () => this.#underWay.delete(requestId) };
  }

  #hit(image: ImageId, key: string, found: CacheHit, request: FileRequest, timings: Timings): CutoutResult {
    request.logger.info("cache hit: {name}", { name: request.name ?? image, tier: found.tier });
    this.#counts.hits[found.tier] = (this.#counts.hits[found.tier] ?? 0) + 1;
    return { ...found, image, key, source: found.tier, collapsed: false, cacheUse: "default", timings };
  }

  /** The file in the form asked for, which memory may have ready. */
  async #find(key: string, form: Form | undefined, reach: ReadScope): Promise<CacheHit | undefined> {
    const { cache } = this.#parts;
    const ready = form && reach === "all" ? cache.memory.read(formKey(key, form)) : undefined;
    if (ready !== undefined) return { entry: ready, tier: "memory" };
    const found = await cache.find(key, reach);
    return found && { entry: this.#form(form, key, found.entry), tier: found.tier };
  }

  #form(form: Form | undefined, key: string, file: Entry): Entry {
    if (form === undefined) return file;
    const { memory } = this.#parts.cache;
    const known = memory.readStale(formKey(key, form));
    const entry = known?.etag === formEtag(file, form) ? known : formed(file, form);
    // Not for longer than the file, after which another process may have deleted both.
    memory.write(formKey(key, form), entry, key);
    return entry;
  }

  async #make(
    request: PredictRequest,
    { key, maskId, label, signal }: { key: string; maskId: string; label: string; signal: AbortSignal },
  ): Promise<RenderResult> {
    const { cache } = this.#parts;
    const keep = async (cutout: Cutout): Promise<Entry> => {
      const entry = await this.#entryOf(cutout);
      request.waitUntil(cache.set(key, entry));
      return entry;
    };
    const { mask, cutout } = await this.#mask(request, maskId, signal);
    if (cutout !== undefined) {
      request.logger.info("registering cache: {name}", { name: label });
      return { entry: await keep(cutout), source: "inference", times: cutout.times };
    }
    const rendered = await this.#cutout(request, maskId, { maskFile: mask, signal });
    request.logger.info("registering cache: {name}", { name: label, from: "mask" });
    return { entry: await keep(rendered), source: "mask", times: rendered.times };
  }

  /** The mask, and the cutout where it was inferred for this request. */
  async #mask(request: PredictRequest, maskId: string, signal: AbortSignal): Promise<MaskResult> {
    const flight = `${request.cacheUse ?? "default"} ${maskId}`;
    for (;;) {
      let own = false;
      try {
        const { mask, cutout } = await this.#masks.run(flight, (maskSignal) => {
          own = true;
          return this.#findOrInferMask(request, maskId, maskSignal);
        }, signal);
        return own ? { mask, cutout } : { mask };
      } catch (error) {
        // What another request wanted of its rendering is no fault of this one.
        if (own || !(error instanceof ImageError && RENDER_ERRORS.has(error.code))) throw error;
      }
    }
  }

  async #findOrInferMask(request: PredictRequest, maskId: string, signal: AbortSignal): Promise<MaskResult> {
    const { cache } = this.#parts;
    const found = request.cacheUse === "refresh" ? { lease: NO_LEASE } : await this.#maskOrLease(maskId, signal);
    if ("entry" in found) return { mask: found.entry.bytes };
    try {
      const cutout = await this.#cutout(request, maskId, { signal });
      const mask = cutout.maskFile!;
      const entry = await this.#entryOf({ file: mask, contentType: "image/png" });
      // Others are to find the mask when they find the lease free.
      request.waitUntil(cache.set(maskId, entry).finally(() => release(found.lease, request.logger)));
      return { mask, cutout };
    } catch (error) {
      request.waitUntil(release(found.lease, request.logger));
      throw error;
    }
  }

  /** The mask, or the right to infer it: where another process has that, its mask is waited for. */
  async #maskOrLease(maskId: string, signal: AbortSignal): Promise<{ entry: Entry } | { lease: Lease }> {
    const { cache, leaseMs, leaseWaitMs } = this.#parts;
    const until = performance.now() + leaseWaitMs;
    for (let lookMs = FIRST_LOOK_MS;; lookMs = Math.min(LAST_LOOK_MS, 1.5 * lookMs)) {
      const answer = await cache.getOrLease(maskId, leaseMs);
      if (answer !== undefined) return answer;
      if (performance.now() > until) return { lease: NO_LEASE };
      await delay(lookMs, undefined, { signal });
    }
  }

  async #cutout(
    request: PredictRequest,
    maskId: string,
    how: { maskFile?: Uint8Array<ArrayBuffer>; signal?: AbortSignal },
  ): Promise<Cutout> {
    const { image, background, model, render } = request;
    const cutout = await this.#parts.engine.cutout({ image, background, model, render, id: maskId, ...how });
    for (const job of this.#underWay.values()) if (job.maskId === maskId) job.rendered = true;
    return cutout;
  }

  async #entryOf(
    { file, contentType, layout }: Pick<Cutout, "file" | "contentType"> & Partial<Pick<Cutout, "layout">>,
  ): Promise<Entry> {
    const { now = Date.now } = this.#parts;
    const etag = (await sha256(file)).slice(0, 32);
    return { bytes: file, contentType, created: now(), etag, ...(layout && { layout }) };
  }

  async #keyOf(image: ImageId, { model, render }: FileRequest): Promise<string> {
    return cutoutKey(this.#parts.engine.modelVersion(model), image, await digestOf(render));
  }

  async #identify({ image, keyName }: PredictRequest): Promise<ImageId> {
    if (this.#parts.keyBy === "file_path" && keyName !== undefined) {
      return `name:${await sha256(new TextEncoder().encode(keyName))}`;
    }
    return await sha256(image);
  }
}

/** RFC 9562, section 4. */
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

const NO_LEASE: Lease = { release: () => Promise.resolve() };

/** A lease that cannot be given back ends by itself. */
async function release(lease: Lease, logger: Logger): Promise<void> {
  await lease.release().catch((error) => {
    logger.warn("a lease was not released: {error}", { error: error instanceof Error ? error.message : String(error) });
  });
}

function formKey(key: string, form: Form): string {
  return `${key}#${form.name}`;
}

function formEtag(file: Entry, form: Form): string {
  return `${file.etag}-${form.name}`;
}

function formed(file: Entry, form: Form | undefined): Entry {
  if (form === undefined) return file;
  const { created, layout } = file;
  return { created, ...(layout && { layout }), ...form.make(file), etag: formEtag(file, form) };
}

/** Most requests come with the very same options, the default ones: their digest is made once. */
const digests = new WeakMap<RenderOptions, Promise<string>>();

function digestOf(options: RenderOptions): Promise<string> {
  let digest = digests.get(options);
  if (digest === undefined) {
    const canonical = new TextEncoder().encode(canonicalRenderOptions(options));
    digest = sha256(canonical).then((hex) => hex.slice(0, 16));
    digests.set(options, digest);
  }
  return digest;
}
