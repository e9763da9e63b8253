import type { Logger } from "@logtape/logtape";
import { Hono } from "hono";
import { admission, type AdmissionOptions, guarded } from "./http/admission.ts";
import { crossOrigin, safeHeaders } from "./http/browser.ts";
import { toHttpError } from "./http/errors.ts";
import { type AppEnv, job, logUnexpected } from "./http/job.ts";
import { aboutRoute, type AboutRouteOptions } from "./routes/about.ts";
import { cacheRoute, type CacheRouteOptions } from "./routes/cache.ts";
import { cutoutsRoute, type CutoutsRouteOptions } from "./routes/cutouts.ts";
import { predictRoute, type PredictRouteOptions } from "./routes/predict.ts";

export interface AppParts extends AboutRouteOptions, PredictRouteOptions, CutoutsRouteOptions, CacheRouteOptions {
  admission: Omit<AdmissionOptions, "adminToken">;
  /** Origins whose pages may ask; `*` is all. */
  corsOrigins: readonly string[];
  logger: Logger;
}

/** The HTTP application. It is given its parts and an execution context (`app.fetch(request, info, context)`). */
export function createApp(parts: AppParts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(job(parts.logger));
  app.use(safeHeaders({ embeddable: parts.corsOrigins.length > 0 }));
  if (parts.corsOrigins.length > 0) app.use(crossOrigin(parts.corsOrigins));

  app.route("/", aboutRoute(parts));
  // All that costs work or tells of images: a test asks every route that is not among the open ones without a token.
  const guard = admission({ ...parts.admission, adminToken: parts.adminToken });
  for (const dialect of [predictRoute(parts), cutoutsRoute(parts), cacheRoute(parts)]) {
    app.route("/", guarded(dialect, guard));
  }

  app.notFound((c) => c.json({ error: { code: "not_found", message: `there is nothing at ${c.req.path}` } }, 404));
  app.onError((error, c) => {
    logUnexpected(c, error);
    const { status, code, message, headers } = toHttpError(error);
    return c.json({ error: { code, message }, job_id: c.var.jobId }, status, headers);
  });
  return app;
}
