import { type Context, Hono } from "hono";
import { addHeaders, RepeatedAnswers } from "../shared/response.ts";
import { base64Json } from "../../cutouts/representation.ts";
import type { BodyReader } from "../../http/body.ts";
import { allowOnly } from "../shared/errors.ts";
import { HttpError } from "../../http/errors.ts";
import { parseFields } from "../../http/fields.ts";
import { requestContext } from "../shared/headers.ts";
import { fetchImage, type ImageFetcher } from "../../http/safe_fetch/fetch_image.ts";
import { type AppEnv, logUnexpected } from "../shared/context.ts";
import type { Layout } from "../../base/layout.ts";
import type { CutoutResult, CutoutService, Form } from "../../cutouts/service.ts";
import { ParameterError, removebgError } from "./errors.ts";
import { parseParameters, type Source, type Wanted } from "./request.ts";

export interface RemovebgRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  /** Fetches `image_url` and `bg_image_url`; without it they are refused. */
  imageUrls?: ImageFetcher;
}

/** Every call is free here and none is counted; a number that fits into 32 bits everywhere. */
const FREE_CALLS = 2_147_483_647;

/**
 * remove.bg's API 1.0 (https://www.remove.bg/api), for its clients: `POST /v1.0/removebg` and `GET /v1.0/account`. The
 * foreground's type is not detected, and nothing is charged.
 */
export function removebgRoute({ cutouts, bodies, imageUrls }: RemovebgRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const answers = new RepeatedAnswers();

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, headers, errors } = removebgError(error);
    return c.json({ errors, ...(status === 500 && { request_id: c.get("requestId") }) }, status, headers);
  });

  route.post("/v1.0/removebg", async (c) => {
    const contentType = c.req.header("Content-Type");
    const form = wantsJson(c.req.header("Accept")) ? json : undefined;
    const { prediction, type } = await bodies.take(
      c.req.raw,
      async (body) => parseParameters(await parseFields(contentType, body)),
      (wanted) => predict(c, wanted, form),
    );
    const { entry } = prediction;
    // Every result has one.
    const layout = entry.layout!;
    if (layout.foreground.width === 0) {
      throw new ParameterError([{
        title: "Could not identify foreground in image",
        code: "unknown_foreground",
        detail: "nothing in the image, or in its roi, was taken for a subject",
      }]);
    }
    if (type !== undefined) addHeaders(c, { "X-Type": type });
    return answers.send(c, prediction, 200, () => ({
      "Content-Type": entry.contentType,
      // An answer to POST is for this sender only.
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

  async function predict(
    c: Context<AppEnv>,
    wanted: Wanted,
    form: Form | undefined,
  ): Promise<{ prediction: CutoutResult; type?: string }> {
    const { signal } = c.req.raw;
    const [image, background] = await Promise.all([
      bytesOf(wanted.image, "failed_image_download", signal),
      wanted.background && bytesOf(wanted.background, "failed_bg_download", signal),
    ]);
    const render = await wanted.renderOptions(background);
    const fetchedImage = "url" in wanted.image ? image.length : 0;
    const fetchedBackground = wanted.background && "url" in wanted.background ? background!.length : 0;
    const prediction = await bodies.hold(fetchedImage + fetchedBackground, () =>
      cutouts.predict({
        image,
        background,
        render,
        form,
        ...requestContext(c),
      }));
    return { prediction, type: wanted.type };
  }

  /** Whatever kept the image from being fetched, remove.bg has one code for it. */
  async function bytesOf(source: Source, code: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    if ("bytes" in source) return source.bytes;
    try {
      return await fetchImage(imageUrls, source.url, signal);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      throw new ParameterError([{ title: "Failed to download image", code, detail: error.message }]);
    }
  }

  return route;
}

/**
 * Whether JSON is asked for instead of the file. HTTP libraries that take anything send JSON's type before "any", and
 * remove.bg's examples have them receive a file.
 */
function wantsJson(accept = ""): boolean {
  const types = accept.split(",").map((range) => range.split(";")[0].trim().toLowerCase());
  return types.includes("application/json") && !types.some((type) => type === "*/*" || type.startsWith("image/"));
}

function layoutHeaders({ width, height, foreground }: Layout): Record<string, string> {
  return {
    "X-Width": `${width}`,
    "X-Height": `${height}`,
    "X-Foreground-Top": `${foreground.top}`,
    "X-Foreground-Left": `${foreground.left}`,
    "X-Foreground-Width": `${foreground.width}`,
    "X-Foreground-Height": `${foreground.height}`,
  };
}

const json: Form = {
  name: "removebg",
  make(file) {
    const { top, left, width, height } = file.layout!.foreground;
    const foreground = {
      foreground_top: top,
      foreground_left: left,
      foreground_width: width,
      foreground_height: height,
    };
    const after = `",${JSON.stringify(foreground).slice(1)}}`;
    return base64Json('{"data":{"result_b64":"', file, after);
  },
};
