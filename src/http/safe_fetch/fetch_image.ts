import { HttpError } from "../errors.ts";

/** Fetches images from addresses that requests name. */
export interface ImageFetcher {
  /**
   * @throws {HttpError} where the address is none, may not be asked, or has nothing fit to be an image.
   */
  fetch(url: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * The image at an address, where this server fetches any.
 * @throws {HttpError} 403 `image_urls_off`; and as {@link ImageFetcher.fetch} does.
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
    "this server fetches no images: send the image itself, or set ALLOW_IMAGE_URLS",
  );
}
