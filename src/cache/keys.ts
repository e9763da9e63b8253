/** A SHA-256 digest (FIPS 180-4) as 64 lower-case hexadecimal digits. */
export type Sha256Hex = string & { readonly __brand: "Sha256Hex" };

/** The SHA-256 digest of `bytes`. It runs on a thread of the runtime's pool, so large images do not hold the event loop. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Sha256Hex> {
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
