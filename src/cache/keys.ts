import type { Sha256Hex } from "../base/hash.ts";

/**
 * What an image is known by: its content, or, with `CACHE_KEY=file_path`, the name it was sent under. The two can
 * never meet in one key.
 */
export type ImageId = Sha256Hex | `name:${Sha256Hex}`;

/** The key of an image's mask, from which any cutout of it can be rendered. */
export function maskKey(modelVersion: string, image: ImageId): string {
  return `mask:${modelVersion}:${image}`;
}

/** The key of a finished file. `renderDigest` is the digest of the canonical render options. */
export function cutoutKey(modelVersion: string, image: ImageId, renderDigest: string): string {
  return `cutout:${modelVersion}:${image}:${renderDigest}`;
}

const KEY = /^(mask|cutout):([^:]+):((?:name:)?[0-9a-f]{64})/;

/** What a key made here is made of, or undefined where it was not made here. */
export function partsOf(key: string): { kind: "mask" | "cutout"; modelVersion: string; image: ImageId } | undefined {
  const [, kind, modelVersion, image] = KEY.exec(key) ?? [];
  if (kind === undefined) return undefined;
  return { kind: kind as "mask" | "cutout", modelVersion, image: image as ImageId };
}

const IMAGE_ID = /^(?:name:)?[0-9a-f]{64}$/;

/** Whether a text is what an image may be known by. */
export function isImageId(text: string): text is ImageId {
  return IMAGE_ID.test(text);
}
