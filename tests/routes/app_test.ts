import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { type AppOptions, createApp } from "../../src/app.ts";
import { MemoryStore } from "../../src/cache/memory.ts";
import type { Store } from "../../src/cache/store.ts";
import { TieredStore } from "../../src/cache/tiered.ts";
import { SecretToken } from "../../src/http/auth.ts";
import { BodyReader } from "../../src/http/body.ts";
import { RateLimiter } from "../../src/http/rate_limit.ts";
import { DeferredWork } from "../../src/base/deferred.ts";
import type { Engine, EngineOptions } from "../../src/inference/engine/engine.ts";
import { CutoutService } from "../../src/cutouts/service.ts";
import { Readiness } from "../../src/routes/service/readiness.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";
import { quickModel, sessionWorkerUrl, withEngine } from "../support/engine.ts";
import { discImage, paintImage } from "../support/images.ts";
import { withLogs } from "../support/logs.ts";
import { UUID } from "../support/uuid.ts";

interface Parts {
  app: ReturnType<typeof createApp>;
  /** Sends an image, or a complete body. */
  predict(imageOrBody: Uint8Array | string, signal?: AbortSignal): Promise<Response>;
  cache: TieredStore;
  deferred: DeferredWork;
  engine: Engine;
}

/** Runs `use` with the application on the real engine, with the durable store given and without a socket. */
async function withApp(
  durable: Store | undefined,
  use: (parts: Parts) => Promise<void>,
  options: Partial<EngineOptions> = {},
  appParts: Partial<AppOptions> = {},
): Promise<void> {
  const logger = getLogger("cutcache");
  await withEngine(async (engine) => {
    const deferred = new DeferredWork(logger);
    const cache = new TieredStore(new MemoryStore({ maxBytes: 1e7 }), durable);
    const app = createApp({
      appVersion: "0.0.0",
      models: [await quickModel()],
      pageFolder: new URL("../../static/page/", import.meta.url),
      store: cache.name,
      engineStatus: () => engine.status(),
      storeHealth: () => undefined,
      deferred,
      cutouts: new CutoutService({ cache, engine, keyBy: "content", leaseMs: 1000, leaseWaitMs: 1000 }),
      cache,
      maxAgeSeconds: 60,
      needsToken: false,
      access: { apiTokens: [], trustedProxies: 0 },
      corsOrigins: [],
      bodies: new BodyReader({ maxBytes: 1e7, maxPendingBytes: 1e8, timeoutMs: 30_000 }),
      readiness: new Readiness(engine),
      telemetry: new Telemetry(),
      logger,
      ...appParts,
    });
    const predict = async (sent: Uint8Array | string, signal?: AbortSignal) =>
      await app.request(
        "/predict",
        {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: typeof sent === "string" ? sent : JSON.stringify({ file_path: "a.png", img_base64: sent.toBase64() }),
          signal,
        },
        {},
        deferred,
      );
    await use({ app, predict, cache, deferred, engine });
    await deferred.settled();
  }, { logger, ...options });
}

const emptyStore = {
  delete: () => Promise.resolve(false),
  deleteImage: () => Promise.resolve(0),
  clear: () => Promise.resolve(0),
  list: () => Promise.resolve([]),
  stats: () => Promise.resolve({ entries: 0 }),
};

Deno.test("app › a slow write to the store does not delay the response", async () => {
  const written: string[] = [];
  const { promise: writeMayEnd, resolve: endWrites } = Promise.withResolvers<void>();
  // If a response waits for its writes, the test fails after a minute instead of hanging.
  const giveUp = setTimeout(endWrites, 60_000);
  const slow: Store = {
    name: "slow",
    get: () => Promise.resolve(undefined),
    set: async (key) => {
      await writeMayEnd;
      written.push(key.split(":")[0]);
    },
    ...emptyStore,
  };
  await withApp(slow, async ({ predict, deferred }) => {
    const response = await predict(await discImage(1));
    assert.equal((await response.json()).status, "ok");
    assert.deepEqual(written, [], "the response is here and the write is not done");
    // Mask and cutout are written together.
    assert.equal(deferred.pending, 1);
    endWrites();
    await deferred.settled();
    assert.deepEqual(written.sort(), ["cutout", "mask"]);
  }).finally(() => clearTimeout(giveUp));
});

Deno.test("app › a failed write is logged and counted, and does not affect the response", async () => {
  const failing: Store = {
    name: "failing",
    get: () => Promise.resolve(undefined),
    set: () => Promise.reject(new Error("disk full")),
    ...emptyStore,
  };
  await withLogs(async (logs) => {
    await withApp(failing, async ({ predict, deferred }) => {
      assert.equal((await predict(await discImage(1))).status, 200);
      await deferred.settled();
      // Mask and cutout are written together.
      assert.equal(deferred.failed, 1);
    });
    assert.ok(logs.some(({ properties }) => properties.error === "disk full"));
  });
});

Deno.test("app › a lease granted after its request was aborted is released", async () => {
  const requested = Promise.withResolvers<void>();
  const granted = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const leasing: Store = {
    name: "leasing",
    get: () => Promise.resolve(undefined),
    set: () => Promise.resolve(),
    getOrLease: async () => {
      requested.resolve();
      await granted.promise;
      return { lease: { end: () => Promise.resolve(released.resolve()) } };
    },
    ...emptyStore,
  };
  await withApp(leasing, async ({ predict, engine }) => {
    const client = new AbortController();
    const pending = predict(await discImage(2), client.signal);
    await requested.promise;
    client.abort();
    assert.equal((await pending).status, 503);
    granted.resolve();
    await released.promise;
    assert.equal(engine.status().inferences, 0);
  });
});

Deno.test("app › an internal error is a 500 with a request_id; only the log has the details", async () => {
  const workerUrls = { session: sessionWorkerUrl("faulty_session_worker.ts") };
  await withLogs(async (logs) => {
    await withApp(undefined, async ({ predict }) => {
      const green = await paintImage(16, 16, () => [0, 255, 0]);
      const response = await predict(green);
      assert.equal(response.status, 500);
      const text = await response.text();
      assert.doesNotMatch(text, /thrown by the test|worker/);
      const { request_id, job_id, ...body } = JSON.parse(text);
      assert.match(request_id, UUID);
      assert.equal(job_id, request_id);
      assert.deepEqual(Object.keys(body), ["status", "img_none_bg_base64", "error"]);
      assert.deepEqual([body.status, body.img_none_bg_base64, body.error.code], ["ng", null, "internal_error"]);
      const logged = logs.find(({ properties }) =>
        properties.request_id === request_id && String(properties.error).includes("thrown by the test")
      );
      assert.ok(logged, "the log has the details under the request's id");

      const red = await paintImage(16, 16, () => [255, 0, 0]);
      const late = await predict(red);
      assert.equal(late.status, 504);
      assert.equal((await late.json()).error.code, "deadline_exceeded");
      assert.equal((await predict(await discImage(2))).status, 200);
    }, { workerUrls, timeoutMs: 12_000 });
  });
});

Deno.test("app › a repeated body is served without parsing, decoding or encoding", () =>
  withApp(undefined, async ({ predict, cache, engine }) => {
    const image = await discImage(1);
    const first = new Uint8Array(await (await predict(image)).arrayBuffer());
    const calls = { parse: 0, fromBase64: 0, toBase64: 0 };
    const { parse } = JSON;
    const { fromBase64 } = Uint8Array;
    const { toBase64 } = Uint8Array.prototype;
    JSON.parse = (...args) => (calls.parse++, parse(...args));
    Uint8Array.fromBase64 = (...args) => (calls.fromBase64++, fromBase64.apply(Uint8Array, args));
    const body = JSON.stringify({ file_path: "a.png", img_base64: image.toBase64() });
    Uint8Array.prototype.toBase64 = function (...args) {
      calls.toBase64++;
      return toBase64.apply(this, args);
    };
    try {
      const again = await predict(body);
      assert.match(again.headers.get("Cache-Status")!, /hit; detail=memory/);
      assert.deepEqual(new Uint8Array(await again.arrayBuffer()), first);
      assert.deepEqual(calls, { parse: 0, fromBase64: 0, toBase64: 0 });
      // After the cache is cleared, the same body makes the cutout again.
      await cache.clear();
      const miss = await predict(body);
      assert.match(miss.headers.get("Cache-Status")!, /fwd=miss; stored; detail=inference/);
      assert.deepEqual(new Uint8Array(await miss.arrayBuffer()), first);
      assert.deepEqual([calls.parse, calls.fromBase64], [1, 1]);
      assert.equal(engine.status().inferences, 2);
    } finally {
      Object.assign(JSON, { parse });
      Object.assign(Uint8Array, { fromBase64 });
      Object.assign(Uint8Array.prototype, { toBase64 });
    }
  }));

Deno.test("app › probes use neither the store nor the model, and a stopping server is not ready", async () => {
  let calls = 0;
  const count = <T>(value: T) => () => (calls++, Promise.resolve(value));
  const counting: Store = {
    name: "counting",
    get: count(undefined),
    set: count(undefined),
    delete: count(false),
    deleteImage: count(0),
    clear: count(0),
    list: count([]),
    stats: count({ entries: 0 }),
  };
  const readiness = new Readiness({ warm: true, warmUp: () => Promise.resolve() });
  await withApp(
    counting,
    async ({ app, cache, engine }) => {
      const status = async (path: string) => (await app.request(path)).status;
      for (let i = 0; i < 20; i++) {
        for (const path of ["/livez", "/readyz", "/health", "/metrics"]) assert.equal(await status(path), 200, path);
      }
      assert.equal(calls, 0);
      assert.equal(engine.status().running + engine.status().waiting + engine.status().inferences, 0);
      await cache.stats();
      assert.equal(calls, 1, "calls of the store are counted");
      readiness.stop();
      const notReady = await app.request("/readyz");
      assert.deepEqual([notReady.status, await notReady.json()], [503, {
        ready: false,
        reason: "the server is stopping",
      }]);
      assert.deepEqual([await status("/livez"), await status("/health")], [200, 200]);
    },
    {},
    { readiness },
  );
});

/** Routes that reveal nothing about images and cost almost nothing. */
const OPEN = new Set([
  "/",
  "/health",
  "/livez",
  "/readyz",
  "/metadata",
  "/openapi.json",
  "/docs",
  "/page/:file",
  "/jobs/:id",
]);

const API_TOKEN = "an-api-token-of-a-client";

Deno.test("app › every route except the open ones needs a token and is rate-limited", () =>
  withApp(
    undefined,
    async ({ app, deferred }) => {
      const paths = new Set(app.routes.map(({ path }) => path).filter((path) => path !== "/*"));
      assert.ok(paths.has("/predict") && paths.has("/cutouts/:image") && paths.has("/cache"));
      for (const path of paths) {
        const methods = app.routes.filter((route) => route.path === path).map(({ method }) => method);
        for (const method of new Set(methods.map((method) => method === "ALL" ? "POST" : method))) {
          const address = path.replace(/:\w+(\{[^}]*\})?/g, "0").replace("*", "0");
          const send = (headers: Record<string, string>) => app.request(address, { method, headers }, {}, deferred);
          const refused = await send({ Authorization: "Bearer an-invalid-token-0123" });
          const label = `${method} ${path}`;
          if (OPEN.has(path)) {
            assert.ok(refused.status !== 401 && refused.status !== 403, label);
            assert.equal(refused.headers.get("RateLimit-Limit"), null, label);
            continue;
          }
          // remove.bg's clients expect 403.
          const status = path.startsWith("/v1.0/") ? 403 : 401;
          assert.equal(refused.status, status, label);
          assert.match(refused.headers.get("WWW-Authenticate")!, /^Bearer/, label);
          assert.equal(refused.headers.get("RateLimit-Limit"), "1000", label);
          assert.notEqual((await send({ "X-Api-Key": API_TOKEN })).status, status, label);
        }
      }
    },
    {},
    {
      access: {
        apiTokens: [new SecretToken("another-token-of-a-client"), new SecretToken(API_TOKEN)],
        rateLimiter: new RateLimiter({ requests: 1000, windowMs: 3_600_000 }),
        trustedProxies: 0,
      },
    },
  ));

Deno.test("app › each API refuses a request without a token in its own error format", () =>
  withApp(
    undefined,
    async ({ predict, app }) => {
      const refused = await predict("{}");
      assert.equal(refused.status, 401);
      const { error, ...body } = await refused.json();
      assert.deepEqual(body, { status: "ng", img_none_bg_base64: null });
      assert.equal(error.code, "unauthorized");
      const cutout = await app.request(`/cutouts/${"0".repeat(64)}`);
      assert.equal(cutout.headers.get("Content-Type"), "application/problem+json");
      assert.equal((await cutout.json()).code, "unauthorized");
      const rembg = await app.request("/api/remove");
      assert.equal((await rembg.json()).code, "unauthorized");
      const removebg = await app.request("/v1.0/account");
      assert.equal((await removebg.json()).errors[0].code, "auth_failed");
    },
    {},
    { access: { apiTokens: [new SecretToken(API_TOKEN)], trustedProxies: 0 } },
  ));
