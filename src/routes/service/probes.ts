import { Hono } from "hono";
import { z } from "zod";
import { allowOnly } from "../shared/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { commonHeaders, describeRoute, problems } from "../shared/openapi.ts";
import type { Readiness } from "./readiness.ts";

const liveSchema = z.object({ live: z.literal(true) }).meta({ id: "Live" });
const readySchema = z.object({ ready: z.literal(true) }).meta({ id: "Ready" });
const notReadySchema = z.object({ ready: z.literal(false), reason: z.string() }).meta({ id: "NotReady" });

const headers = { ...commonHeaders, "Cache-Control": { required: true, schema: { const: "no-store" } } };

export const probesPaths = [
  describeRoute({
    method: "get",
    path: "/livez",
    operationId: "getLiveness",
    summary: "Liveness: the process responds",
    description: "Restart a process that does not respond.",
    tags: ["service"],
    responses: {
      200: { description: "The process responds.", headers, content: { "application/json": { schema: liveSchema } } },
      ...problems("method_not_allowed"),
    },
  }),
  describeRoute({
    method: "get",
    path: "/readyz",
    operationId: "getReadiness",
    summary: "Readiness: the server is ready for requests",
    description: "Ready from the first run of every model until shutdown begins.",
    tags: ["service"],
    responses: {
      200: { description: "Ready.", headers, content: { "application/json": { schema: readySchema } } },
      ...problems("method_not_allowed"),
      503: { description: "Not ready.", headers, content: { "application/json": { schema: notReadySchema } } },
    },
  }),
] as const;

export interface ProbesRouteOptions {
  readiness: Readiness;
}

/** `GET /livez` and `GET /readyz`, for orchestrators and load balancers. */
export function probesRoute({ readiness }: ProbesRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  const headers = { "Cache-Control": "no-store" };

  route.get("/livez", (c) => c.json({ live: true } satisfies z.infer<typeof liveSchema>, 200, headers));

  route.get("/readyz", (c) => {
    const reason = readiness.reason;
    if (reason === undefined) return c.json({ ready: true } satisfies z.infer<typeof readySchema>, 200, headers);
    return c.json({ ready: false, reason } satisfies z.infer<typeof notReadySchema>, 503, headers);
  });

  for (const path of ["/livez", "/readyz"]) route.all(path, allowOnly("GET", "HEAD"));

  return route;
}
