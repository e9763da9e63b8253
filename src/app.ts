import type { Logger } from "@logtape/logtape";
import { Hono } from "hono";
import { accessControl, type AccessControlOptions, withGuard } from "./http/access_control.ts";
import { crossOrigin, secureHeaders } from "./http/browser_headers.ts";
import { HttpError } from "./http/errors.ts";
import type { ImageFetcher } from "./http/safe_fetch/fetch_image.ts";
import { cutoutsPaths } from "./routes/cutouts/openapi.ts";
import { cutoutsRoute, type CutoutsRouteOptions } from "./routes/cutouts/route.ts";
import { docsPaths, docsRoute } from "./routes/docs/route.ts";
import { pagePaths, pageRoute, type PageRouteOptions } from "./routes/page.ts";
import { predictPaths } from "./routes/predict/openapi.ts";
import { predictRoute, type PredictRouteOptions } from "./routes/predict/route.ts";
import { rembgPaths } from "./routes/rembg/openapi.ts";
import { rembgRoute, type RembgRouteOptions } from "./routes/rembg/route.ts";
import { removebgPaths } from "./routes/removebg/openapi.ts";
import { removebgRoute, type RemovebgRouteOptions } from "./routes/removebg/route.ts";
import { aboutPaths, aboutRoute, type AboutRouteOptions } from "./routes/service/about.ts";
import { cachePaths, cacheRoute, type CacheRouteOptions } from "./routes/service/cache.ts";
import { jobsPaths, jobsRoute } from "./routes/service/jobs.ts";
import { metricsPaths, metricsRoute, type MetricsRouteOptions } from "./routes/service/metrics.ts";
import { probesPaths, probesRoute, type ProbesRouteOptions } from "./routes/service/probes.ts";
import { type AppEnv, requestScope } from "./routes/shared/context.ts";
import { logUnexpected, problem } from "./routes/shared/errors.ts";
import { type Described, documentOf } from "./routes/shared/openapi.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";

export interface AppOptions
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
  access: Omit<AccessControlOptions, "adminToken">;
  /** Origins whose pages may call the API; `*` is all. */
  corsOrigins: readonly string[];
  telemetry: Telemetry;
  logger: Logger;
  /** Fetches images by their URL. Without it such requests are refused. */
  imageUrls?: ImageFetcher;
}

/** Every route that is described, in the order of `/docs`. */
const described = [
  ...cutoutsPaths,
  ...jobsPaths,
  ...predictPaths,
  ...rembgPaths,
  ...removebgPaths,
  ...cachePaths,
  ...aboutPaths,
  ...probesPaths,
  ...metricsPaths,
  ...docsPaths,
  ...pagePaths,
] as const;

/** For typed clients: `hc<AppType>(address)` of `hono/client`. */
export type AppType = Described<typeof described>;

/** The HTTP application. Call it with an execution context: `app.fetch(request, info, context)`. */
export function createApp(options: AppOptions): Hono<AppEnv> {
  const { access, adminToken, corsOrigins, telemetry, logger, appVersion } = options;
  const app = new Hono<AppEnv>();
  app.use(requestScope(logger, telemetry));
  app.use(secureHeaders({ embeddable: corsOrigins.length > 0 }));
  if (corsOrigins.length > 0) app.use(crossOrigin(corsOrigins));

  // The page comes first: it shares `/` with the greeting, and takes the requests of browsers.
  app.route("/", pageRoute(options));
  app.route("/", aboutRoute(options));
  app.route("/", jobsRoute(options));
  app.route("/", probesRoute(options));

  // Every route that costs work or reveals images is guarded; a test calls each of them without a token. An open server
  // has no guard, since one more handler costs a memory hit a quarter of its time.
  const isOpen = access.apiTokens.length === 0 && access.rateLimiter === undefined;
  const guard = isOpen ? undefined : accessControl({ ...access, adminToken });
  for (const dialect of [predictRoute, cutoutsRoute, rembgRoute, removebgRoute, cacheRoute, metricsRoute]) {
    app.route("/", guard === undefined ? dialect(options) : withGuard(dialect(options), guard));
  }
  app.route("/", docsRoute({ describe: () => documentOf(described, appVersion) }));

  app.notFound((c) => problem(c, new HttpError(404, "not_found", `there is nothing at ${c.req.path}`)));
  app.onError((error, c) => {
    logUnexpected(c, error);
    return problem(c, error);
  });
  return app;
}
