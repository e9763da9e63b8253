import type { Logger } from "@logtape/logtape";
import type { ImageId } from "../cache/keys.ts";
import type { Entry } from "../cache/store.ts";
import type { RenderOptions } from "../render/options.ts";
import type { Timings } from "../telemetry/observer.ts";
import type { Representation } from "./representation.ts";

/**
 * How a request uses the cache (RFC 9111, section 5.2.1). `refresh` (no-cache) makes a new result and stores it.
 * `bypass` (no-store) neither reads nor writes.
 */
export type CacheUse = "default" | "refresh" | "bypass";

/** Identifies one rendering of an image. */
export interface RenderingRequest {
  /** The model's name; by default the server's default model. */
  readonly model?: string;
  readonly render: RenderOptions;
  /** The image's name, for the logs. */
  readonly name?: string;
  /** The form in which the caller sends the file; by default the file itself. */
  readonly representation?: Representation;
  /** Whose cache entries are used; by default everyone's. */
  readonly cacheScope?: string;
  readonly logger: Logger;
}

/** A request that may cause work. */
export interface WorkRequest extends RenderingRequest {
  /** Aborted when nobody waits for the result any longer. */
  readonly signal?: AbortSignal;
  /** Keeps the process alive for work that no caller waits for. */
  readonly waitUntil: (work: Promise<unknown>) => void;
}

export interface CutoutRequest extends WorkRequest {
  readonly image: Uint8Array<ArrayBuffer>;
  /** Identifies the image if the cache is keyed by name (`CACHE_KEY=file_path`). */
  readonly keyName?: string;
  /** The file of the picture that `render.background_image` names. */
  readonly background?: Uint8Array<ArrayBuffer>;
  readonly cacheUse?: CacheUse;
  /** If it is a UUID, clients can query the request's progress by it. */
  readonly requestId?: string;
}

export interface CutoutResult {
  /** The file, or its representation. */
  readonly entry: Entry;
  readonly image: ImageId;
  /** The file's key in the cache. */
  readonly key: string;
  /**
   * The tier that had the file; `cutout` or `mask` if it was rendered from another cutout or from the mask; `inference` if
   * the cache had none of them.
   */
  readonly source: string;
  /** Whether the result was made for another request that was already running. */
  readonly coalesced: boolean;
  readonly cacheUse: CacheUse;
  readonly timings: Timings;
}
