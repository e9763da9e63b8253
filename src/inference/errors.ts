/** What can be wrong with an image that somebody sent. */
export type ImageErrorCode =
  /** The bytes are no image, or a damaged one. */
  | "invalid_image"
  /** An image, but of a format that is not decoded here. */
  | "unsupported_format"
  /** More pixels than `MAX_PIXELS`. */
  | "image_too_large"
  /** The region of interest reaches beyond the image, or has no pixels in it. */
  | "roi_exceeds_bounds"
  | "roi_region_empty"
  /** The background picture is not one that can be decoded, or the options name one that did not come with them. */
  | "invalid_background"
  | "background_missing";

/** Codes that tell of how the image was to be rendered: the image itself may be all right. */
export const RENDER_ERRORS: ReadonlySet<ImageErrorCode> = new Set([
  "roi_exceeds_bounds",
  "roi_region_empty",
  "invalid_background",
  "background_missing",
]);

/** The image is at fault; the message says how and may be shown to the sender. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  constructor(readonly code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** What can be wrong with the engine. */
export type EngineErrorCode =
  /** The job took longer than `INFERENCE_TIMEOUT_MS`; its worker has been replaced. */
  | "deadline_exceeded"
  /** The worker threw, ran out of memory or exited; it has been replaced. */
  | "worker_failed"
  /** As many jobs wait as may. */
  | "queue_full"
  /** The engine is shutting down. */
  | "closed";

/** The engine is at fault, not the image. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(
    readonly code: EngineErrorCode,
    message: string,
    /** When to try again, in seconds, where that can be estimated. */
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A request named a model that is not served here. */
export class UnknownModelError extends Error {
  override readonly name = "UnknownModelError";
  constructor(model: string, readonly known: string[]) {
    super(`there is no model ${JSON.stringify(model)}; the models here are ${known.join(", ")}`);
  }
}
