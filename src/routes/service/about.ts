import { Hono } from "hono";
import { z } from "zod";
import type { StoreHealth } from "../../cache/circuit_breaker.ts";
import type { DeferredWork } from "../../base/deferred.ts";
import { allowOnly } from "../shared/errors.ts";
import { negotiate } from "../shared/negotiation.ts";
import type { AppEnv } from "../shared/context.ts";
import { commonHeaders, describeRoute, header, problems } from "../shared/openapi.ts";
import type { EngineStatus } from "../../inference/engine/engine.ts";
import type { Model } from "../../inference/model/manifest.ts";

const greetingSchema = z.object({ message: z.string() }).meta({ id: "Greeting" });

const state = z.enum(["ok", "ng"]);
const count = z.int().min(0);

const healthSchema = z.object({
  proxy_server: z.object({ health: state }),
  predict_server: z.object({ health: state }),
  engine: z.object({
    health: state,
    backend: z.enum(["wasm", "compiled", "native"]),
    backend_reason: z.string().describe("Why this backend runs."),
    mode: z.enum(["worker", "inline"]).describe("Where images are processed: in workers or on the main thread."),
    sandboxed: z.boolean().describe("Whether the image workers run without permissions."),
    threads: count,
    workers: count,
    waiting: count.describe("Images in the queue."),
    queue_limit: count.describe("Maximum number of images that wait."),
    running: count,
    inferences: count.describe("Model runs for requests since start."),
    worker_restarts: count,
  }),
  store: z.object({
    name: z.string(),
    health: state,
    breaker: z.enum(["closed", "open", "half-open"]).optional(),
    last_error: z.string().optional(),
    failed_writes: count.optional(),
  }),
  deferred: z.object({ pending: count, failed: count }).describe("Cache writes after the response."),
}).meta({ id: "Health" });

const tensor = { shape: z.array(z.int()), type: z.string() };

const modelSchema = z.object({
  name: z.string(),
  version: z.string().describe("Changes whenever masks could change."),
  licence: z.string(),
  source: z.string(),
  sha256: z.string(),
  inputs: z.array(z.object({ name: z.string().optional(), ...tensor })),
  outputs: z.array(z.object({ name: z.string().optional(), ...tensor })),
}).meta({ id: "Model" });

const metadataSchema = modelSchema.extend({
  models: z.array(modelSchema).describe("The models that a request can name. The first is the default."),
  backend: z.string(),
  backend_reason: z.string().describe("Why this backend runs."),
  threads: count,
  workers: count,
  store: z.string(),
  app_version: z.string(),
}).meta({ id: "Metadata" });

export const aboutPaths = [
  describeRoute({
    method: "get",
    path: "/",
    operationId: "greet",
    summary: "A greeting as text or JSON, or the page for browsers, depending on Accept",
    description: "Browsers get the page; `Accept` decides.",
    tags: ["service"],
    responses: {
      200: {
        description: "The greeting, or the page.",
        headers: commonHeaders,
        content: {
          "text/plain": { schema: z.string() },
          "application/json": { schema: greetingSchema },
          "text/html": { schema: z.string() },
        },
      },
      308: {
        description: "With `url`: rembg's API is at `/api/remove`.",
        headers: { ...commonHeaders, "Location": header("`/api/remove?url=…`.") },
      },
      ...problems("method_not_allowed"),
    },
  }),
  describeRoute({
    method: "get",
    path: "/health",
    operationId: "getHealth",
    summary: "The state of the service, its engine and its store",
    description: "Always 200 while the server answers; the body says what works.",
    tags: ["service"],
    responses: {
      200: {
        description: "The service is up. `predict_server` says whether it can make cutouts.",
        headers: commonHeaders,
        content: { "application/json": { schema: healthSchema } },
      },
      ...problems("method_not_allowed"),
    },
  }),
  describeRoute({
    method: "get",
    path: "/metadata",
    operationId: "getMetadata",
    summary: "The models and the runtime",
    description: "The first model is the default. A model's version changes with everything that can change a mask.",
    tags: ["service"],
    responses: {
      200: {
        description: "The default model, all models, and the runtime.",
        headers: commonHeaders,
        content: { "application/json": { schema: metadataSchema } },
      },
      ...problems("method_not_allowed"),
    },
  }),
] as const;

export interface AboutRouteOptions {
  appVersion: string;
  /** The models that a request can name. The first is the default. */
  models: [Model, ...Model[]];
  /** The name of the store in use. */
  store: string;
  engineStatus: () => EngineStatus;
  /** The state of the durable store; undefined if there is none. */
  storeHealth: () => StoreHealth | undefined;
  deferred: DeferredWork;
}

/** Information about the service: `GET /`, `/health` and `/metadata`. */
export function aboutRoute(options: AboutRouteOptions): Hono<AppEnv> {
  const { appVersion, models, store, engineStatus, storeHealth, deferred } = options;
  const route = new Hono<AppEnv>();

  route.get("/", (c) => {
    // Old versions of rembg had their API here.
    if (c.req.query("url") !== undefined) return c.redirect(`/api/remove${new URL(c.req.url).search}`, 308);
    const message = `Cutcache ${appVersion} removes the background from images. POST one to /predict.`;
    c.header("Vary", "Accept");
    const json = negotiate(c, ["text/plain", "application/json"]) === "application/json";
    return json ? c.json({ message }) : c.text(`${message}\n`);
  });

  route.get("/health", (c) => {
    const { backendReason, queueLimit, workerRestarts, ...engine } = engineStatus();
    return c.json(
      {
        proxy_server: { health: "ok" },
        predict_server: { health: engine.health },
        engine: {
          ...engine,
          backend_reason: backendReason,
          queue_limit: queueLimit,
          worker_restarts: workerRestarts,
        },
        store: { name: store, ...describeStore(storeHealth()) },
        deferred: { pending: deferred.pending, failed: deferred.failed },
      } satisfies z.infer<typeof healthSchema>,
    );
  });

  route.get("/metadata", (c) => {
    const { backend, backendReason, threads, workers } = engineStatus();
    return c.json(
      {
        ...describe(models[0]),
        models: models.map(describe),
        backend,
        backend_reason: backendReason,
        threads,
        workers,
        store,
        app_version: appVersion,
      } satisfies z.infer<typeof metadataSchema>,
    );
  });

  for (const path of ["/", "/health", "/metadata"]) route.all(path, allowOnly("GET", "HEAD"));

  return route;
}

function describeStore(health: StoreHealth | undefined) {
  if (health === undefined) return { health: "ok" as const };
  const { lastError, failedWrites, ...state } = health;
  return { ...state, ...(lastError !== undefined && { last_error: lastError }), failed_writes: failedWrites };
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
