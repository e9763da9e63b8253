import { Hono } from "hono";
import type { Layout } from "../../base/layout.ts";
import type { CutoutService } from "../../cutouts/service.ts";
import type { BodyReader } from "../../http/body.ts";
import { HttpError } from "../../http/errors.ts";
import { parseFields } from "../../http/fields.ts";
import { addHeaders, type HeaderFields } from "../../http/response_headers.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import { type AppEnv, cutoutContext } from "../shared/context.ts";
import { allowOnly, logUnexpected } from "../shared/errors.ts";
import { negotiate } from "../shared/negotiation.ts";
import { CutoutResponses } from "../shared/response.ts";
import { parameterError, removebgError } from "./errors.ts";
import { jsonResult } from "./representation.ts";
import { parseParameters, type Source } from "./request.ts";

export interface RemovebgRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches `image_url` and `bg_image_url`. Without it, they are refused. */
  imageUrls?: ImageFetcher;
}

/** All calls are free and none is counted. The number fits into 32 bits in every client. */
const FREE_CALLS = 2_147_483_647;

/** In this order if the client has no preference: HTTP libraries that accept anything list JSON first. */
const RESULT_TYPES = ["image/png", "image/jpeg", "image/webp", "application/zip", "application/json"] as const;

/**
 * remove.bg's API 1.0 (https://www.remove.bg/api), for its clients: `POST /v1.0/removebg` and `GET /v1.0/account`. The
 * foreground's type is not detected, and nothing is charged.
 */
export function removebgRoute({ cutouts, bodies, imageUrls }: RemovebgRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const responses = new CutoutResponses();

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, headers, errors } = removebgError(error);
    return c.json({ errors, ...(status === 500 && { request_id: c.get("requestId") }) }, status, headers);
  });

  route.post("/v1.0/removebg", async (c) => {
    using body = await bodies.read(c.req.raw);
    const parameters = parseParameters(parseFields(c.req.header("Content-Type"), body.take()));
    const { signal } = c.req.raw;
    const [image, background] = await Promise.all([
      bytesOf(parameters.image, "failed_image_download", signal),
      parameters.background && bytesOf(parameters.background, "failed_bg_download", signal),
    ]);
    using _fetched = bodies.reserve(
      fetchedBytes(parameters.image, image) + fetchedBytes(parameters.background, background),
    );

    const render = await parameters.renderOptions(background);
    const representation = negotiate(c, RESULT_TYPES) === "application/json" ? jsonResult : undefined;
    const result = await cutouts.cutOut({ image, background, render, representation, ...cutoutContext(c) });

    // Every result has a layout.
    const layout = result.entry.layout!;
    requireForeground(layout);
    if (parameters.type !== undefined) addHeaders(c, { "X-Type": parameters.type });
    return responses.respond(c, result, () => ({
      "Cache-Control": "no-store",
      ...layoutHeaders(layout),
      "X-Credits-Charged": "0",
    }));
  });

  route.get("/v1.0/account", (c) => {
    const credits = { total: 0, subscription: 0, payg: 0, enterprise: 0 };
    return c.json({ data: { attributes: { credits, api: { free_calls: FREE_CALLS, sizes: "all" } } } });
  });

  route.all("/v1.0/removebg", allowOnly("POST"));
  route.all("/v1.0/account", allowOnly("GET", "HEAD"));

  /** remove.bg has a single code for every reason why a picture cannot be fetched. */
  async function bytesOf(source: Source, code: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    if ("bytes" in source) return source.bytes;
    try {
      return await fetchImage(imageUrls, source.url, signal);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      throw parameterError({ title: "Failed to download image", code, detail: error.message });
    }
  }

  return route;
}

/** The size of a picture that was fetched, in bytes; 0 if it came with the body, which is already counted. */
function fetchedBytes(source: Source | undefined, picture: Uint8Array | undefined): number {
  return source !== undefined && "url" in source ? picture!.length : 0;
}

/** @throws {ParameterError} `unknown_foreground` */
function requireForeground({ foreground }: Layout): void {
  if (foreground.width > 0) return;
  throw parameterError({
    title: "Could not identify foreground in image",
    code: "unknown_foreground",
    detail: "no subject was found in the image or in its region of interest",
  });
}

function layoutHeaders({ width, height, foreground }: Layout): HeaderFields {
  return {
    "X-Width": `${width}`,
    "X-Height": `${height}`,
    "X-Foreground-Top": `${foreground.top}`,
    "X-Foreground-Left": `${foreground.left}`,
    "X-Foreground-Width": `${foreground.width}`,
    "X-Foreground-Height": `${foreground.height}`,
  };
}
