import { trace } from "@opentelemetry/api";
import type { EndedRequest, Stage } from "./observer.ts";

/*
 * Deno makes the span of each request and exports all spans where `OTEL_DENO=true`. Where it is not, no span is ever
 * active, and nothing here does anything.
 */

const tracer = trace.getTracer("cutcache");

/** A span of a stage that has ended, under the active one; `from` and `to` are of the clock of `performance.now()`. */
export function addStageSpan(stage: Stage, from: number, to: number): void {
  if (trace.getActiveSpan() === undefined) return;
  const { timeOrigin } = performance;
  tracer.startSpan(stage, { startTime: timeOrigin + from }).end(timeOrigin + to);
}

/** Names the request's span by its route (OpenTelemetry's semantic conventions for HTTP). */
export function nameRequestSpan({ method, route }: EndedRequest): void {
  const span = trace.getActiveSpan();
  if (span === undefined || route === "none") return;
  span.updateName(`${method} ${route}`);
  span.setAttribute("http.route", route);
}

/** For log lines; nothing where no span is active. */
export function activeSpanIds(): { trace_id: string; span_id: string } | undefined {
  const active = trace.getActiveSpan()?.spanContext();
  return active && { trace_id: active.traceId, span_id: active.spanId };
}
