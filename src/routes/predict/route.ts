import { type Context, Hono } from "hono";
import { ifUnavailable } from "../../base/errors.ts";
import { base64Json, type Representation } from "../../cutouts/representation.ts";
import type { CutoutResult } from "../../cutouts/request.ts";
import type { CutoutService } from "../../cutouts/service.ts";
import type { BodyReader } from "../../http/body.ts";
import { type Observer, timed, type Timings } from "../../telemetry/observer.ts";
import { cacheUseOf } from "../shared/cache_control.ts";
import { type AppEnv, cutoutContext } from "../shared/context.ts";
import { allowOnly, logUnexpected, toHttpError } from "../shared/errors.ts";
import { CutoutResponses } from "../shared/response.ts";
import { KnownBodies } from "./known_bodies.ts";
import { KnownDigests } from "./known_digests.ts";
import { parseRequest, requireJson } from "./request.ts";

export interface PredictRouteOptions {
  cutouts: CutoutService;
  bodies: BodyReader;
  telemetry?: Pick<Observer, "stage">;
}

/** `POST /predict`, the original API: JSON in, JSON out. By default the cutout has the image's size. */
export function predictRoute({ cutouts, bodies, telemetry }: PredictRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const responses = new CutoutResponses();
  const digests = new KnownDigests();
  const knownBodies = new KnownBodies();
  // The response to POST is for its sender only; GET /cutouts/… is for shared caches.
  const headers = () => ({ "Cache-Control": "no-store" });

  route.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    const requestId = c.get("requestId");
    return c.json(
      {
        status: "ng",
        img_none_bg_base64: null,
        error: { code, message },
        ...(status === 500 && { request_id: requestId, job_id: requestId }),
      },
      status,
      headers,
    );
  });

  route.post("/predict", async (c) => {
    using received = await bodies.read(c.req.raw);
    requireJson(c.req.header("Content-Type"));
    const { hit, name, digest, request } = await findOrParse(c, received.take());
    if (hit !== undefined) {
      logOutcome(c, hit, name);
      return responses.respond(c, hit, headers);
    }

    const result = await cutouts.cutOut({ ...request, keyName: request.name, representation, ...cutoutContext(c) });
    logOutcome(c, result, request.name);
    knownBodies.set(digest, { ...request, image: result.image });
    return responses.respond(c, result, headers);
  });

  route.all("/predict", allowOnly("POST"));

  /** Finds the cutout for a repeated body by the body's digest alone; parses any other body. */
  async function findOrParse(c: Context<AppEnv>, body: Uint8Array<ArrayBuffer>) {
    const timings: Timings = {};
    const digest = await timed(timings, "hash", () => digests.digestOf(body), telemetry);
    const known = cacheUseOf(c.req.header("Cache-Control")) === "default" ? knownBodies.get(digest) : undefined;
    if (known === undefined) return { digest, request: parseRequest(body) };
    const context = { representation, cacheScope: c.get("cacheScope"), logger: c.get("logger") };
    const hit = await cutouts.find(known.image, { ...known, ...context }, "all").catch(ifUnavailable(undefined));
    if (hit === undefined) return { digest, request: parseRequest(body) };
    digests.keep(body, digest);
    return { name: known.name, hit: { ...hit, timings: { ...timings, ...hit.timings } } };
  }

  return route;
}

/** The original contract: the log tells for each name whether its cutout was cached. */
function logOutcome(c: Context<AppEnv>, { source, coalesced, cacheUse, image }: CutoutResult, sent?: string): void {
  const name = sent ?? image;
  if (cacheUse === "bypass") return;
  const made = !coalesced && (source === "mask" || source === "inference");
  if (made) c.get("logger").info("registering cache: {name}", { name, ...(source === "mask" && { from: source }) });
  else c.get("logger").info("cache hit: {name}", { name, tier: coalesced ? "coalesced" : source });
}

/** The JSON around a cutout. */
const representation: Representation = {
  name: "json",
  make: (file) => base64Json('{"status":"ok","img_none_bg_base64":"', file, '"}'),
};
