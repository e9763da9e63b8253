import { trace } from "@opentelemetry/api";
import type { EndedRequest, Stage } from "./observer.ts";

/*
 * With `OTEL_DENO=true`, Deno makes a span for each request and exports all spans. Otherwise no span is ever active, and
 * these functions do nothing.
 */

const tracer = trace.getTracer("cutcache");

/** Adds a span for a stage that has ended, below the active span. `from` and `to` are times of `performance.now()`. */
export function addStageSpan(stage: Stage, from: number, to: number): void {
  if (trace.getActiveSpan() === undefined) return;
  const { timeOrigin } = performance;
  tracer.startSpan(stage, { startTime: timeOrigin + from }).end(timeOrigin + to);
}

/** Names the request's span after its route, as OpenTelemetry's semantic conventions for HTTP demand. */
export function nameRequestSpan({ method, route }: EndedRequest): void {
  const span = trace.getActiveSpan();
  if (span === undefined || route === "none") return;
  span.updateName(`${method} ${route}`);
  span.setAttribute("http.route", route);
}

/** The ids of the active span, for log lines; undefined if there is none. */
export function activeSpanIds(): { trace_id: string; span_id: string } | undefined {
  const active = trace.getActiveSpan()?.spanContext();
  return active && { trace_id: active.traceId, span_id: active.spanId };
}
