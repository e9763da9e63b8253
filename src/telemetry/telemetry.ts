import { Counter, Histogram, Registry } from "prom-client";
import type { EndedRequest, Observer, Stage } from "./observer.ts";
import { addStageSpan, nameRequestSpan } from "./trace.ts";

/** In seconds: from hashing a small image (0.1 ms) to an inference that misses its deadline. */
const STAGE_BUCKETS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** In seconds: from a memory hit to an image that waited in a full queue. */
const ANSWER_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2.5, 5, 10, 30, 120];

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Counts and times events for `/metrics`, and makes spans of them if Deno exports traces. */
export class Telemetry implements Observer {
  readonly registry = new Registry();
  readonly #requests: Counter<"route" | "method" | "status">;
  readonly #durations: Histogram<"route">;
  readonly #answers: Histogram<"source">;
  readonly #stages: Histogram<"stage">;
  #inFlight = 0;

  constructor() {
    const registers = [this.registry];
    this.#requests = new Counter({
      name: "cutcache_http_requests_total",
      help: "HTTP requests served, by route, method and status.",
      labelNames: ["route", "method", "status"],
      registers,
    });
    this.#durations = new Histogram({
      name: "cutcache_http_request_duration_seconds",
      help: "Time from the headers of a request until its response is ready to send, by route.",
      labelNames: ["route"],
      buckets: ANSWER_BUCKETS,
      registers,
    });
    this.#answers = new Histogram({
      name: "cutcache_answer_duration_seconds",
      help: "Time to get a cutout, by source: a cache tier, mask, inference, or coalesced with another request.",
      labelNames: ["source"],
      buckets: ANSWER_BUCKETS,
      registers,
    });
    this.#stages = new Histogram({
      name: "cutcache_stage_duration_seconds",
      help: "Time spent in each stage of making a cutout.",
      labelNames: ["stage"],
      buckets: STAGE_BUCKETS,
      registers,
    });
  }

  /** The number of requests that have not been answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  stage(stage: Stage, from: number, to: number): void {
    this.#stages.observe({ stage }, (to - from) / 1000);
    addStageSpan(stage, from, to);
  }

  answered(source: string, elapsedMs: number): void {
    this.#answers.observe({ source }, elapsedMs / 1000);
  }

  requestBegan(): void {
    this.#inFlight++;
  }

  requestEnded(request: EndedRequest): void {
    this.#inFlight--;
    const { route, status, elapsedMs } = request;
    // Clients can invent methods, and each would add a series.
    const method = METHODS.has(request.method) ? request.method : "other";
    this.#requests.inc({ route, method, status });
    this.#durations.observe({ route }, elapsedMs / 1000);
    nameRequestSpan(request);
  }
}
