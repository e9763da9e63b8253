import type { Sha256Hex } from "../base/hash.ts";

/**
 * Identifies an image: by the digest of its content, or, with `CACHE_KEY=file_path`, by the digest of its file name. The
 * prefix `name:` keeps the two apart.
 */
export type ImageId = Sha256Hex | `name:${Sha256Hex}`;

/** The key of an image's mask, from which every cutout of the image can be rendered. */
export function maskKey(modelVersion: string, image: ImageId): string {
  return `mask:${modelVersion}:${image}`;
}

/** The key of a finished file. `renderDigest` is the digest of the canonical render options. */
export function cutoutKey(modelVersion: string, image: ImageId, renderDigest: string): string {
  return `cutout:${modelVersion}:${image}:${renderDigest}`;
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
