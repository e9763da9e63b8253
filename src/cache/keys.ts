import type { Sha256Hex } from "../base/hash.ts";

/**
 * Identifies an image: by the digest of its content, or, with `CACHE_KEY=file_path`, by the digest of its file name. The
 * prefix `name:` keeps the two apart.
 */
export type ImageId = Sha256Hex | `name:${Sha256Hex}`;

/**
 * The key of an image's mask, from which every cutout of the image can be rendered.
 * @param scope whose entry it is; by default everyone's.
 */
export function maskKey(modelVersion: string, image: ImageId, scope?: string): string {
  return `mask:${modelVersion}:${image}${suffix(scope)}`;
}

/**
 * The key of a finished file.
 * @param renderDigest the digest of the canonical render options.
 * @param scope as for {@link maskKey}.
 */
export function cutoutKey(modelVersion: string, image: ImageId, renderDigest: string, scope?: string): string {
  return `cutout:${modelVersion}:${image}:${renderDigest}${suffix(scope)}`;
}

/** At the end: what is found or deleted by its image is so in every scope. */
function suffix(scope: string | undefined): string {
  return scope === undefined ? "" : `@${scope}`;
}

const KEY = /^(mask|cutout):([^:]+):((?:name:)?[0-9a-f]{64})/;

export interface KeyParts {
  readonly kind: "mask" | "cutout";
  readonly modelVersion: string;
  readonly image: ImageId;
}

/** The parts of a key from {@link maskKey} or {@link cutoutKey}; undefined for any other text. */
export function parseKey(key: string): KeyParts | undefined {
  const [, kind, modelVersion, image] = KEY.exec(key) ?? [];
  if (kind === undefined) return undefined;
  return { kind: kind as KeyParts["kind"], modelVersion, image: image as ImageId };
}

const IMAGE_ID = /^(?:name:)?[0-9a-f]{64}$/;

/** Whether a text is an {@link ImageId}. */
export function isImageId(text: string): text is ImageId {
  return IMAGE_ID.test(text);
}
