import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { Hono } from "hono";
import { MemoryStore } from "../../src/cache/memory.ts";
import { TieredStore } from "../../src/cache/tiered.ts";
import { UpstashStore } from "../../src/cache/upstash.ts";
import { DeferredWork } from "../../src/base/deferred.ts";
import { BodyReader } from "../../src/http/body.ts";
import { type AppEnv, requestScope } from "../../src/routes/shared/context.ts";
import type { CutoutEngine } from "../../src/inference/engine/engine.ts";
import { CutoutService } from "../../src/cutouts/service.ts";
import { cutoutsRoute } from "../../src/routes/cutouts/route.ts";
import { predictRoute } from "../../src/routes/predict/route.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";
import { withEngine } from "../support/engine.ts";
import { fixture } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";

/*
 * Counts the work for each kind of response, so that a change that makes hits more expensive is noticed. `bench/` measures
 * time.
 */

/** The work done since the last reading. */
interface Work {
  inferences: number;
  /** Renderings of an image with a known mask: decoding, rendering, encoding. */
  renders: number;
  /** HTTP requests to the store. */
  roundTrips: number;
  /** Bytes encoded to or decoded from base64, as a multiple of the file's size. */
  base64: number;
}

const image = fixture("chelsea.jpg");
const json = JSON.stringify({ file_path: "chelsea.jpg", img_base64: image.toBase64() });

Deno.test("work › each kind of response takes only the work that it needs", async (t) => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await withEngine(async (engine) => {
    const counted = { inferences: 0, renders: 0 };
    const countingEngine: CutoutEngine = {
      modelVersion: (name) => engine.modelVersion(name),
      cutout: (work) => {
        counted[work.maskFile === undefined ? "inferences" : "renders"]++;
        return engine.cutout(work);
      },
    };
    using base64 = new Base64Count();
    const takeCounts = (fileBytes: number): Work => {
      const work = {
        ...counted,
        roundTrips: gateway.requests,
        base64: Math.round(10 * base64.bytes / fileBytes) / 10,
      };
      Object.assign(counted, { inferences: 0, renders: 0 });
      gateway.resetCounts();
      base64.bytes = 0;
      return work;
    };
    const first = instance(gateway, countingEngine);
    let fileBytes = 1;

    await t.step("a miss looks up the file and the mask, and writes both after the response", async () => {
      const response = await first.predict(json);
      assert.match(response.headers.get("Cache-Status")!, /detail=inference/);
      fileBytes = Uint8Array.fromBase64((await response.json()).img_none_bg_base64).length;
      await first.deferred.settled();
      const { inferences, renders, roundTrips } = takeCounts(fileBytes);
      // The read of the file, the lease, and the write, which ends the lease.
      assert.deepEqual({ inferences, renders, roundTrips }, { inferences: 1, renders: 0, roundTrips: 3 });
    });

    await t.step("a memory hit sends bytes that are ready: no store, no rendering, no base64", async () => {
      const bodies: ArrayBuffer[] = [];
      for (let i = 0; i < 10; i++) bodies.push(await (await first.predict(json)).arrayBuffer());
      assert.deepEqual(takeCounts(fileBytes), { inferences: 0, renders: 0, roundTrips: 0, base64: 0 });
      assert.deepEqual(new Set(bodies.map(({ byteLength }) => byteLength)).size, 1);
    });

    await t.step(
      "a Redis hit is one round trip, and its base64 goes into the response without being decoded or encoded",
      async () => {
        const second = instance(gateway, countingEngine);
        const response = await second.predict(json);
        assert.match(response.headers.get("Cache-Status")!, /hit; detail=redis/);
        await response.arrayBuffer();
        await second.deferred.settled();
        const { base64, ...rest } = takeCounts(fileBytes);
        assert.deepEqual(rest, { inferences: 0, renders: 0, roundTrips: 1 });
        // Only the image in the request goes through base64.
        const expected = image.length / fileBytes;
        assert.ok(Math.abs(base64 - expected) < 0.1, `${base64}, expected ${expected}`);

        await (await second.predict(json)).arrayBuffer();
        assert.deepEqual(
          takeCounts(fileBytes),
          { inferences: 0, renders: 0, roundTrips: 0, base64: 0 },
          "memory has it now",
        );
      },
    );

    await t.step("a 304 reads the store at most once and renders nothing", async () => {
      const { image: digest, etag } = await first.known(image);
      takeCounts(fileBytes);
      const response = await first.app.request(`/cutouts/${digest}`, { headers: { "If-None-Match": etag } });
      assert.equal(response.status, 304);
      const { inferences, renders, roundTrips } = takeCounts(fileBytes);
      assert.deepEqual({ inferences, renders }, { inferences: 0, renders: 0 });
      assert.ok(roundTrips <= 1, `${roundTrips} round trips`);
    });

    await t.step("another rendering of a known image renders once and infers nothing", async () => {
      const options = JSON.stringify({ ...JSON.parse(json), options: { background: "white" } });
      const response = await first.predict(options);
      assert.match(response.headers.get("Cache-Status")!, /detail=mask/);
      await response.arrayBuffer();
      await first.deferred.settled();
      const { inferences, renders, roundTrips } = takeCounts(fileBytes);
      // One read, since the mask is in memory, and one write.
      assert.deepEqual({ inferences, renders, roundTrips }, { inferences: 0, renders: 1, roundTrips: 2 });
    });
  });
});

/** The routes and caches of one instance. All instances share the engine and Redis. */
function instance(gateway: UpstashGateway, engine: CutoutEngine) {
  const logger = getLogger("cutcache");
  const deferred = new DeferredWork(logger);
  const durable = new UpstashStore({
    url: gateway.url,
    token: gateway.token,
    ttlSeconds: 60,
    timeoutMs: 60_000,
    maxValueBytes: 1_048_576,
    maxRequestBytes: 1_000_000,
  });
  const cache = new TieredStore(new MemoryStore({ maxBytes: 1e8 }), durable);
  // Long enough that no lease is renewed, which would be another round trip.
  const cutouts = new CutoutService({ cache, engine, keyBy: "content", leaseMs: 600_000, leaseWaitMs: 600_000 });
  const bodies = new BodyReader({ maxBytes: 1e7, maxPendingBytes: 1e8, timeoutMs: 30_000 });
  const app = new Hono<AppEnv>().use(requestScope(logger, new Telemetry()))
    .route("/", predictRoute({ cutouts, bodies }))
    .route("/", cutoutsRoute({ cutouts, bodies, maxAgeSeconds: 60, needsToken: false }));
  const headers = { "Content-Type": "application/json" };
  return {
    app,
    deferred,
    predict: async (body: string) => await app.request("/predict", { method: "POST", headers, body }, {}, deferred),
    known: async (file: Uint8Array<ArrayBuffer>) => {
      const response = await app.request("/cutouts", { method: "POST", body: file }, {}, deferred);
      await response.arrayBuffer();
      const digest = /^\/cutouts\/([0-9a-f]{64})/.exec(response.headers.get("Location")!)![1];
      return { image: digest, etag: response.headers.get("ETag")! };
    },
  };
}

/** Counts the bytes encoded to or decoded from base64 while it is in scope. */
class Base64Count implements Disposable {
  bytes = 0;
  readonly #toBase64 = Uint8Array.prototype.toBase64;
  readonly #fromBase64 = Uint8Array.fromBase64;

  constructor() {
    const count = (bytes: number) => this.bytes += bytes;
    const [toBase64, fromBase64] = [this.#toBase64, this.#fromBase64];
    Uint8Array.prototype.toBase64 = function (...options) {
      count(this.length);
      return toBase64.apply(this, options);
    };
    Uint8Array.fromBase64 = (...input) => {
      const bytes = fromBase64.apply(Uint8Array, input);
      count(bytes.length);
      return bytes;
    };
  }

  [Symbol.dispose](): void {
    Uint8Array.prototype.toBase64 = this.#toBase64;
    Uint8Array.fromBase64 = this.#fromBase64;
  }
}
