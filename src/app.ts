import type { Logger } from "@logtape/logtape";
import { Hono } from "hono";
import { admission, type AdmissionOptions, guarded } from "./http/access_control.ts";
import { crossOrigin, safeHeaders } from "./http/browser_headers.ts";
import { problem } from "./routes/shared/errors.ts";
import { HttpError } from "./http/errors.ts";
import type { ImageFetcher } from "./http/safe_fetch/fetch_image.ts";
import { type AppEnv, job, logUnexpected } from "./routes/shared/context.ts";
import { type Described, documentOf } from "./routes/shared/openapi.ts";
import { aboutPaths, aboutRoute, type AboutRouteOptions } from "./routes/service/about.ts";
import { cachePaths, cacheRoute, type CacheRouteOptions } from "./routes/service/cache.ts";
import { cutoutsPaths, cutoutsRoute, type CutoutsRouteOptions } from "./routes/cutouts/route.ts";
import { jobsPaths, jobsRoute } from "./routes/service/jobs.ts";
import { metricsPaths, metricsRoute, type MetricsRouteOptions } from "./routes/service/metrics.ts";
import { openapiPaths, openapiRoute } from "./routes/docs/route.ts";
import { pagePaths, pageRoute, type PageRouteOptions } from "./routes/page.ts";
import { predictPaths, predictRoute, type PredictRouteOptions } from "./routes/predict/route.ts";
import { probesPaths, probesRoute, type ProbesRouteOptions } from "./routes/service/probes.ts";
import { rembgPaths, rembgRoute, type RembgRouteOptions } from "./routes/rembg/route.ts";
import { removebgRoute, type RemovebgRouteOptions } from "./routes/removebg/route.ts";
import { removebgPaths } from "./routes/removebg/openapi.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";

export interface AppParts
  extends
    AboutRouteOptions,
    PageRouteOptions,
    PredictRouteOptions,
    CutoutsRouteOptions,
    RembgRouteOptions,
    RemovebgRouteOptions,
    CacheRouteOptions,
    ProbesRouteOptions,
    MetricsRouteOptions {
  admission: Omit<AdmissionOptions, "adminToken">;
  /** Origins whose pages may ask; `*` is all. */
  corsOrigins: readonly string[];
  telemetry: Telemetry;
  logger: Logger;
  /** Where there is none, no image is fetched from an address. */
  imageUrls?: ImageFetcher;
}

/** Every route that is described, in the order of `/docs`. */
const described = [
  ...predictPaths,
  ...cutoutsPaths,
  ...jobsPaths,
  ...rembgPaths,
  ...removebgPaths,
  ...cachePaths,
  ...aboutPaths,
  ...probesPaths,
  ...metricsPaths,
  ...openapiPaths,
  ...pagePaths,
] as const;

/** For typed clients: `hc<AppType>(address)` of `hono/client`. */
export type AppType = Described<typeof described>;

/** The HTTP application. It is given its parts and an execution context (`app.fetch(request, info, context)`). */
export function createApp(parts: AppParts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(job(parts.logger, parts.telemetry));
  app.use(safeHeaders({ embeddable: parts.corsOrigins.length > 0 }));
  if (parts.corsOrigins.length > 0) app.use(crossOrigin(parts.corsOrigins));

  // First: of `/`, which it shares with the greeting, it takes what browsers ask.
  app.route("/", pageRoute(parts));
  app.route("/", aboutRoute(parts));
  app.route("/", jobsRoute(parts));
  app.route("/", probesRoute(parts));
  // All that costs work or tells of images: a test asks every route that is not among the open ones without a token.
  // Where everybody is let in there is none: one more handler on the way costs a memory hit a quarter of its time.
  const { apiTokens, rateLimiter } = parts.admission;
  const open = apiTokens.length === 0 && rateLimiter === undefined;
  const guard = open ? undefined : admission({ ...parts.admission, adminToken: parts.adminToken });
  const dialects = [predictRoute, cutoutsRoute, rembgRoute, removebgRoute, cacheRoute, metricsRoute];
  for (const dialect of dialects) {
    app.route("/", guard === undefined ? dialect(parts) : guarded(dialect(parts), guard));
  }
  app.route("/", openapiRoute({ describe: () => documentOf(described, parts.appVersion) }));

  app.notFound((c) => problem(c, new HttpError(404, "not_found", `there is nothing at ${c.req.path}`)));
  app.onError((error, c) => {
    logUnexpected(c, error);
    return problem(c, error);
  });
  return app;
}
