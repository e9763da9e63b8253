import { Hono } from "hono";
import { z } from "zod";
import type { Entry } from "../cache/store.ts";
import { limitBody } from "../http/body.ts";
import { HttpError, toHttpError } from "../http/errors.ts";
import { predictionHeaders } from "../http/headers.ts";
import { type AppEnv, logUnexpected } from "../http/job.ts";
import { defaultRenderOptions, renderOptionsSchema } from "../inference/render_options.ts";
import type { Predictor } from "../predictor.ts";

export const predictRequestSchema = z.object({
  /** A name for the image, for logs and for `CACHE_KEY=file_path`; nothing is read from it. */
  file_path: z.string().max(4096),
  /** The image file in base64 (RFC 4648), with or without a `data:…;base64,` prefix (RFC 2397). */
  img_base64: z.string().min(1),
  /** One of the models that `GET /metadata` lists. */
  model: z.string().optional(),
  /** How the cutout is rendered; without it a PNG of the image's size. */
  options: renderOptionsSchema.optional(),
});

export interface PredictRouteOptions {
  predictor: Predictor;
  maxBodyBytes: number;
}

/** `POST /predict`: the original dialect, JSON in and JSON out, an image of the same size as it came. */
export function predictRoute({ predictor, maxBodyBytes }: PredictRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    return c.json(
      {
        status: "ng",
        img_none_bg_base64: null,
        error: { code, message },
        ...(status === 500 && { job_id: c.var.jobId }),
      },
      status,
      headers,
    );
  });

  route.post("/predict", limitBody(maxBodyBytes), async (c) => {
    const { file_path, img_base64, model, options } = parseBody(c.req.header("Content-Type"), await c.req.text());
    const prediction = await predictor.predict({
      image: decodeBase64(img_base64),
      name: file_path,
      model,
      render: options ?? defaultRenderOptions,
      signal: c.req.raw.signal,
      waitUntil: (work) => c.executionCtx.waitUntil(work),
      logger: c.var.logger,
    });
    return c.body(jsonAnswer(prediction.entry), 200, {
      "Content-Type": "application/json",
      ...predictionHeaders(prediction),
    });
  });

  route.all("/predict", () => {
    throw new HttpError(405, "method_not_allowed", "use POST", { Allow: "POST" });
  });

  return route;
}

function parseBody(contentType: string | undefined, text: string): z.infer<typeof predictRequestSchema> {
  const mediaType = contentType?.split(";")[0].trim().toLowerCase();
  if (mediaType !== undefined && mediaType !== "application/json" && !mediaType.endsWith("+json")) {
    throw new HttpError(415, "unsupported_content_type", `the body is ${mediaType}; send application/json`);
  }
  const wanted = `send {"file_path": string, "img_base64": string}`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new HttpError(422, "invalid_json", `the body is not JSON; ${wanted}`);
  }
  const parsed = predictRequestSchema.safeParse(json);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "body"}: ${message}`);
    throw new HttpError(422, "invalid_request", `${faults.join("; ")}; ${wanted}`);
  }
  return parsed.data;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const prefix = /^data:[^,]{0,200},/.exec(text)?.[0] ?? "";
  try {
    return Uint8Array.fromBase64(prefix === "" ? text : text.slice(prefix.length));
  } catch {
    throw new HttpError(400, "invalid_base64", "img_base64 is not base64 (RFC 4648)");
  }
}

/** An entry's answer is made once and lives as long as the entry. */
const answers = new WeakMap<Entry, Uint8Array<ArrayBuffer>>();

function jsonAnswer(entry: Entry): Uint8Array<ArrayBuffer> {
  let answer = answers.get(entry);
  if (answer === undefined) {
    answer = new TextEncoder().encode(`{"status":"ok","img_none_bg_base64":"${entry.bytes.toBase64()}"}`);
    answers.set(entry, answer);
  }
  return answer;
}
