import type { Logger } from "@logtape/logtape";
import { Hono } from "hono";
import { toHttpError } from "./http/errors.ts";
import type { ImageFetcher } from "./http/image_urls.ts";
import { type AppEnv, job, logUnexpected } from "./http/job.ts";
import { aboutRoute, type AboutRouteOptions } from "./routes/about.ts";
import { cacheRoute, type CacheRouteOptions } from "./routes/cache.ts";
import { cutoutsRoute, type CutoutsRouteOptions } from "./routes/cutouts.ts";
import { predictRoute, type PredictRouteOptions } from "./routes/predict.ts";
import { rembgRoute, type RembgRouteOptions } from "./routes/rembg.ts";
import { removebgRoute, type RemovebgRouteOptions } from "./routes/removebg.ts";

export interface AppParts
  extends
    AboutRouteOptions,
    PredictRouteOptions,
    CutoutsRouteOptions,
    RembgRouteOptions,
    RemovebgRouteOptions,
    CacheRouteOptions {
  logger: Logger;
  /** Where there is none, no image is fetched from an address. */
  imageUrls?: ImageFetcher;
}

/** The HTTP application. It is given its parts and an execution context (`app.fetch(request, {}, context)`). */
export function createApp(parts: AppParts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(job(parts.logger));
  app.route("/", aboutRoute(parts));
  app.route("/", predictRoute(parts));
  app.route("/", cutoutsRoute(parts));
  app.route("/", rembgRoute(parts));
  app.route("/", cacheRoute(parts));
  app.route("/", removebgRoute(parts));

  app.notFound((c) => c.json({ error: { code: "not_found", message: `there is nothing at ${c.req.path}` } }, 404));
  app.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    return c.json({ error: { code, message }, job_id: c.var.jobId }, status, headers);
  });
  return app;
}
