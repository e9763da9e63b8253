import { createHash } from "node:crypto";

/** A SHA-256 digest (FIPS 180-4) as 64 lower-case hexadecimal digits. */
export type Sha256Hex = string & { readonly __brand: "Sha256Hex" };

/** Up to here, in bytes, hashing takes less time (about 0.2 ms) than going to another thread and back. */
const HASHED_AT_ONCE = 262_144;

/** The SHA-256 digest of `bytes`. Large ones are hashed on a thread of the runtime's pool and do not hold the event loop. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Sha256Hex> {
  if (bytes.length <= HASHED_AT_ONCE) return createHash("sha256").update(bytes).digest("hex") as Sha256Hex;
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex() as Sha256Hex;
}

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
