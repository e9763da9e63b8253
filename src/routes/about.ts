import { Hono } from "hono";
import { accepts } from "hono/accepts";
import type { GuardHealth } from "../cache/guard.ts";
import type { DeferredWork } from "../deferred.ts";
import type { AppEnv } from "../http/job.ts";
import type { EngineStatus } from "../inference/engine.ts";
import type { Model } from "../inference/manifest.ts";

export interface AboutRouteOptions {
  appVersion: string;
  /** The models that can be asked for; the first is the default. */
  models: [Model, ...Model[]];
  /** The name of the store in use. */
  store: string;
  engineStatus: () => EngineStatus;
  /** How the durable store is, where it can fail. */
  storeHealth: () => GuardHealth | undefined;
  deferred: DeferredWork;
}

/** What the service says of itself: `GET /`, `/health` and `/metadata`. */
export function aboutRoute(options: AboutRouteOptions): Hono<AppEnv> {
  const { appVersion, models, store, engineStatus, storeHealth, deferred } = options;
  const route = new Hono<AppEnv>();

  route.get("/", (c) => {
    const message = `Cutcache ${appVersion} removes the background of images. POST one to /predict.`;
    c.header("Vary", "Accept");
    const type = accepts(c, { header: "Accept", supports: ["text/plain", "application/json"], default: "text/plain" });
    return type === "application/json" ? c.json({ message }) : c.text(`${message}\n`);
  });

  route.get("/health", (c) => {
    const engine = engineStatus();
    return c.json({
      proxy_server: { health: "ok" },
      predict_server: { health: engine.health },
      engine,
      store: { name: store, ...(storeHealth() ?? { health: "ok" }) },
      deferred: { pending: deferred.pending, failed: deferred.failed },
    });
  });

  route.get("/metadata", (c) => {
    const { backend, threads, workers } = engineStatus();
    return c.json({
      ...describe(models[0]),
      models: models.map(describe),
      backend,
      threads,
      workers,
      store,
      app_version: appVersion,
    });
  });

  return route;
}

function describe({ manifest: { name, licence, source, input, output }, version, sha256 }: Model) {
  const size = [input.height, input.width];
  return {
    name,
    version,
    licence,
    source,
    sha256,
    inputs: [{ name: input.name, shape: [1, 3, ...size], type: "float32" }],
    outputs: [{ name: output?.name, shape: [1, 1, ...size], type: "float32" }],
  };
}
