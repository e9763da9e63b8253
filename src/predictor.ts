import type { Logger } from "@logtape/logtape";
import { Coalescer } from "./cache/coalesce.ts";
import { cutoutKey, type ImageId, maskKey, sha256 } from "./cache/keys.ts";
import type { Entry, Store } from "./cache/store.ts";
import type { Found } from "./cache/tiered.ts";
import type { Cutout, CutoutMaker, StageTimes } from "./inference/engine.ts";
import { canonicalRenderOptions, type RenderOptions } from "./inference/render_options.ts";

/** What the predictor needs of a cache: a store that can say which of its tiers had an entry, and its first tier. */
export interface Cache extends Store {
  readonly memory: { read(key: string): Entry | undefined; write(key: string, entry: Entry): void };
  find(key: string): Promise<Found | undefined>;
}

/** What a dialect makes of a file, such as JSON around it. Memory keeps it, so that it is made once. */
export interface Form {
  /** Keeps it apart from other forms of the same file. */
  readonly name: string;
  readonly make: (file: Entry) => Entry;
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
  /** The model's name; the default one where it is not given. */
  readonly model?: string;
  readonly render: RenderOptions;
  /** The form of the answer; without it, the file as it is. */
  readonly form?: Form;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
  /** Keeps the process alive for work that nobody waits for. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  readonly logger: Logger;
}

/** Milliseconds spent in each stage, in the order in which they ran. */
export type Timings = { hash?: number; cache?: number } & StageTimes;

export interface Prediction {
  /** The file, or its form. */
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
  /** Inferences under way, by the key of their mask. */
  readonly #inferences = new Coalescer<Cutout>();

  constructor(parts: PredictorParts) {
    this.#parts = parts;
  }

  /**
   * @throws {ImageError} where the image is at fault.
   * @throws {EngineError} where the engine is.
   * @throws {UnknownModelError}
   */
  async predict(request: PredictRequest): Promise<Prediction> {
    const { engine } = this.#parts;
    const version = engine.modelVersion(request.model);
    const timings: Timings = {};
    const image = await timed(timings, "hash", () => this.#identify(request));
    const key = cutoutKey(version, image, await digestOf(request.render));
    const label = request.name ?? image;

    const formed = (file: Entry) => request.form === undefined ? file : this.#form(request.form, key, file);
    const found = await timed(timings, "cache", () => this.#find(key, request.form));
    if (found !== undefined) {
      request.logger.info("cache hit: {name}", { name: label, tier: found.tier });
      return { entry: found.formed ? found.entry : formed(found.entry), source: found.tier, collapsed: false, timings };
    }
    const collapsed = this.#cutouts.has(key);
    const { entry: file, source, times } = await this.#cutouts.run(
      key,
      (signal) => this.#make(request, { image, version, key, label, signal }),
      request.signal,
    );
    const entry = formed(file);
    if (!collapsed) return { entry, source, collapsed, timings: { ...timings, ...times } };
    request.logger.info("cache hit: {name}", { name: label, tier: "collapsed" });
    return { entry, source, collapsed, timings };
  }

  async #find(key: string, form?: Form): Promise<Found & { formed?: true } | undefined> {
    const { cache } = this.#parts;
    const entry = form && cache.memory.read(formKey(key, form));
    return entry ? { entry, tier: "memory", formed: true } : await cache.find(key);
  }

  #form(form: Form, key: string, file: Entry): Entry {
    const { memory } = this.#parts.cache;
    const known = memory.read(formKey(key, form));
    if (known !== undefined) return known;
    const made = form.make(file);
    memory.write(formKey(key, form), made);
    return made;
  }

  async #make(
    request: PredictRequest,
    { image, version, key, label, signal }: {
      image: ImageId;
      version: string;
      key: string;
      label: string;
      signal: AbortSignal;
    },
  ): Promise<Made> {
    const { cache, engine, now = Date.now } = this.#parts;
    const maskId = maskKey(version, image);
    const job = { image: request.image, model: request.model, render: request.render };
    const keep = (entryKey: string, bytes: Uint8Array<ArrayBuffer>, contentType: string): Entry => {
      const entry = { bytes, contentType, created: now() };
      request.waitUntil(cache.set(entryKey, entry));
      return entry;
    };

    // An inference under way has not reached the cache yet: asking there would only cost time.
    let known = this.#inferences.has(maskId) ? undefined : (await cache.get(maskId))?.bytes;
    if (known === undefined) {
      let own = false;
      const cutout = await this.#inferences.run(maskId, async (inferenceSignal) => {
        own = true;
        const made = await engine.cutout({ ...job, signal: inferenceSignal });
        keep(maskId, made.maskFile!, "image/png");
        return made;
      }, signal);
      if (own) {
        request.logger.info("registering cache: {name}", { name: label });
        return { entry: keep(key, cutout.file, cutout.contentType), source: "inference", times: cutout.times };
      }
      known = cutout.maskFile!;
    }
    const { file, contentType, times } = await engine.cutout({ ...job, maskFile: known, signal });
    request.logger.info("registering cache: {name}", { name: label, from: "mask" });
    return { entry: keep(key, file, contentType), source: "mask", times };
  }

  async #identify({ image, name }: PredictRequest): Promise<ImageId> {
    if (this.#parts.keyBy === "file_path" && name !== undefined) {
      return `name:${await sha256(new TextEncoder().encode(name))}`;
    }
    return await sha256(image);
  }
}

function formKey(key: string, form: Form): string {
  return `${key}#${form.name}`;
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

async function timed<T>(timings: Timings, stage: keyof Timings, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    return await work();
  } finally {
    timings[stage] = performance.now() - started;
  }
}
