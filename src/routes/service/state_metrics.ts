import { Counter, Gauge } from "prom-client";
import type { StoreHealth } from "../../cache/circuit_breaker.ts";
import type { TieredStore } from "../../cache/tiered.ts";
import type { DeferredWork } from "../../base/deferred.ts";
import type { EngineStatus } from "../../inference/engine/engine.ts";
import type { Model } from "../../inference/model/manifest.ts";
import type { CutoutService } from "../../cutouts/service.ts";
import type { Readiness } from "./readiness.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";

/** The sources of the service's state, which are read at each scrape. Reading them is cheap. */
export interface StateSources {
  appVersion: string;
  models: [Model, ...Model[]];
  cache: TieredStore;
  cutouts: CutoutService;
  engineStatus: () => EngineStatus;
  storeHealth: () => StoreHealth | undefined;
  deferred: DeferredWork;
  readiness: Readiness;
  telemetry: Telemetry;
}

type Labels = Record<string, string>;
/** One value, or one for each set of labels. */
type Value = number | (readonly [Labels, number])[];

/** Registers metrics that are read at each scrape rather than counted. */
export function exposeState(sources: StateSources): void {
  const { appVersion, models, cache, cutouts, engineStatus, storeHealth, deferred, readiness, telemetry } = sources;
  const [{ manifest, version }] = models;
  const registers = [telemetry.registry];
  const labelNames = ["tier", "state", "version", "model", "model_version", "backend"];

  const gauge = (name: string, help: string, read: () => Value) => {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        for (const [labels, value] of series(read())) this.set(labels, value);
      },
    });
  };
  const counter = (name: string, help: string, read: () => Value) => {
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of series(read())) this.inc(labels, value);
      },
    });
  };

  gauge("cutcache_http_requests_in_flight", "Requests being processed.", () => telemetry.inFlight);

  counter(
    "cutcache_cache_hits_total",
    "Cutouts served from the cache, by tier; cutout and mask mean rendered from a cached cutout or mask.",
    () => {
      const { hits, cutouts: rendered, masks } = cutouts.counts;
      const byTier = cache.tiers.map((tier) => [{ tier }, hits[tier] ?? 0] as const);
      return [...byTier, [{ tier: "cutout" }, rendered] as const, [{ tier: "mask" }, masks] as const];
    },
  );
  counter("cutcache_cache_misses_total", "Cutouts that needed an inference.", () => cutouts.counts.inferences);
  counter(
    "cutcache_coalesced_total",
    "Requests that shared the cutout of another request that was already running.",
    () => {
      return cutouts.counts.coalesced;
    },
  );

  counter("cutcache_inferences_total", "Model runs for requests.", () => engineStatus().inferences);
  gauge("cutcache_queue_length", "Images waiting for a worker.", () => engineStatus().waiting);
  gauge("cutcache_queue_limit", "Maximum number of images that wait.", () => engineStatus().queueLimit);
  gauge("cutcache_jobs_running", "Images being processed.", () => engineStatus().running);
  counter("cutcache_worker_restarts_total", "Workers that were replaced.", () => engineStatus().workerRestarts);

  gauge("cutcache_deferred_writes_pending", "Cache writes that are still running.", () => deferred.pending);
  counter("cutcache_deferred_writes_failed_total", "Cache writes that were lost.", () => deferred.failed);
  gauge("cutcache_store_breaker_state", "1 for the current state of the durable store's circuit breaker.", () => {
    const health = storeHealth();
    if (health === undefined) return [];
    return ["closed", "half-open", "open"].map((state) => [{ state }, Number(state === health.breaker)] as const);
  });

  gauge("cutcache_ready", "1 while GET /readyz returns 200, else 0.", () => Number(readiness.reason === undefined));
  gauge("cutcache_resident_memory_bytes", "Resident memory of the process.", () => Deno.memoryUsage().rss);
  gauge("cutcache_start_time_seconds", "Start time of the process, in seconds since the epoch.", () => {
    return performance.timeOrigin / 1000;
  });
  const build = { version: appVersion, model: manifest.name, model_version: version };
  gauge("cutcache_build_info", "Always 1; its labels are the version, model and backend.", () => {
    return [[{ ...build, backend: engineStatus().backend }, 1]];
  });
}

function series(value: Value): (readonly [Labels, number])[] {
  return typeof value === "number" ? [[{}, value]] : value;
}
