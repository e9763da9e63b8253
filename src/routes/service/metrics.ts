import { Hono } from "hono";
import { z } from "zod";
import { requireAdmin, type SecretToken } from "../../http/auth.ts";
import { allowOnly } from "../shared/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { accessCodes, clientSecurity, commonHeaders, describeRoute, problems } from "../shared/openapi.ts";
import { exposeState, type StateSources } from "./state_metrics.ts";

export const metricsPaths = [
  describeRoute({
    method: "get",
    path: "/metrics",
    operationId: "getMetrics",
    summary: "Metrics for Prometheus",
    description: "If `API_TOKENS` is set, this requires `ADMIN_TOKEN`, or any token if `ADMIN_TOKEN` is not set.",
    tags: ["service"],
    security: clientSecurity,
    responses: {
      200: {
        description: "Prometheus text format, version 0.0.4.",
        headers: { ...commonHeaders, "Cache-Control": { required: true, schema: { const: "no-store" } } },
        content: { "text/plain": { schema: z.string() } },
      },
      ...problems(...accessCodes),
    },
  }),
] as const;

export interface MetricsRouteOptions extends StateSources {
  /** Whether clients need a token. If so, only the operator may see their activity. */
  needsToken: boolean;
  adminToken?: SecretToken;
}

/** `GET /metrics`. */
export function metricsRoute(options: MetricsRouteOptions): Hono<AppEnv> {
  const { telemetry: { registry }, needsToken, adminToken } = options;
  const route = new Hono<AppEnv>();
  exposeState(options);

  route.get("/metrics", async (c) => {
    if (needsToken && adminToken !== undefined) requireAdmin(c.req.raw.headers, adminToken);
    return c.body(await registry.metrics(), 200, {
      "Content-Type": registry.contentType,
      "Cache-Control": "no-store",
    });
  });

  route.all("/metrics", allowOnly("GET", "HEAD"));

  return route;
}
