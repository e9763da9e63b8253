import { HttpError } from "../errors.ts";

/** Fetches images from URLs in requests. These URLs are untrusted. */
export interface ImageFetcher {
  /**
   * @returns the bytes at the URL, which need not be an image.
   * @throws {HttpError} if the URL is invalid, not permitted, or cannot be fetched.
   */
  fetch(url: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Fetches the image at a URL.
 * @param fetcher undefined if this server does not fetch images.
 * @throws {HttpError} 403 `image_urls_off`, and the errors of {@link ImageFetcher.fetch}.
 */
export async function fetchImage(
  fetcher: ImageFetcher | undefined,
  url: string,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  if (fetcher !== undefined) return await fetcher.fetch(url, signal);
  throw new HttpError(
    403,
    "image_urls_off",
    "this server does not fetch images by URL: send the image itself, or set ALLOW_IMAGE_URLS on the server",
  );
}
