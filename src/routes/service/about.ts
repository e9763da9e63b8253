import { Hono } from "hono";
import { accepts } from "hono/accepts";
import { z } from "zod";
import type { StoreHealth } from "../../cache/circuit_breaker.ts";
import type { DeferredWork } from "../../base/deferred.ts";
import { allowOnly } from "../shared/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { commonHeaders, describeRoute, problems } from "../shared/openapi.ts";
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
    backend: z.enum(["wasm", "native"]),
    mode: z.enum(["worker", "inline"]).describe("Where images are worked at: in workers, or on the main thread."),
    sandboxed: z.boolean().describe("Whether what decodes images has no permissions."),
    threads: count,
    workers: count,
    waiting: count.describe("Images in the queue."),
    queueLimit: count.describe("Images that may wait."),
    running: count,
    inferences: count.describe("Runs of the model for a request, since the start."),
    workerRestarts: count,
  }),
  store: z.object({
    name: z.string(),
    health: state,
    breaker: z.enum(["closed", "open", "half-open"]).optional(),
    lastError: z.string().optional(),
    failedWrites: count.optional(),
  }),
  deferred: z.object({ pending: count, failed: count }).describe("Cache writes after the response."),
}).meta({ id: "Health" });

const tensor = { shape: z.array(z.int()), type: z.string() };

const modelSchema = z.object({
  name: z.string(),
  version: z.string().describe("Changes whenever a mask could."),
  licence: z.string(),
  source: z.string(),
  sha256: z.string(),
  inputs: z.array(z.object({ name: z.string().optional(), ...tensor })),
  outputs: z.array(z.object({ name: z.string().optional(), ...tensor })),
}).meta({ id: "Model" });

const metadataSchema = modelSchema.extend({
  models: z.array(modelSchema).describe("The models that a request may name; the first is the default."),
  backend: z.string(),
  threads: count,
  workers: count,
  store: z.string(),
  app_version: z.string(),
}).meta({ id: "Metadata" });

export const aboutPaths = [
  describeRoute({
    method: "get",
    path: "/",
    summary: "A greeting, in text or JSON by Accept; a page for people where that prefers HTML",
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
      ...problems(),
    },
  }),
  describeRoute({
    method: "get",
    path: "/health",
    summary: "How the service, its engine and its store are",
    tags: ["service"],
    responses: {
      200: {
        description: "The service answers; `predict_server` tells whether it can cut out.",
        headers: commonHeaders,
        content: { "application/json": { schema: healthSchema } },
      },
      ...problems(),
    },
  }),
  describeRoute({
    method: "get",
    path: "/metadata",
    summary: "The models, and what runs them",
    tags: ["service"],
    responses: {
      200: {
        description: "The default model, all models, and what runs them.",
        headers: commonHeaders,
        content: { "application/json": { schema: metadataSchema } },
      },
      ...problems(),
    },
  }),
] as const;

export interface AboutRouteOptions {
  appVersion: string;
  /** The models that can be asked for; the first is the default. */
  models: [Model, ...Model[]];
  /** The name of the store in use. */
  store: string;
  engineStatus: () => EngineStatus;
  /** How the durable store is, where it can fail. */
  storeHealth: () => StoreHealth | undefined;
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
    return c.json(
      {
        proxy_server: { health: "ok" },
        predict_server: { health: engine.health },
        engine,
        store: { name: store, ...(storeHealth() ?? { health: "ok" }) },
        deferred: { pending: deferred.pending, failed: deferred.failed },
      } satisfies z.infer<typeof healthSchema>,
    );
  });

  route.get("/metadata", (c) => {
    const { backend, threads, workers } = engineStatus();
    return c.json(
      {
        ...describe(models[0]),
        models: models.map(describe),
        backend,
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
