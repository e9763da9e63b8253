import { Hono } from "hono";
import { z } from "zod";
import { allowOnly } from "../shared/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { commonHeaders, describeRoute, problems } from "../shared/openapi.ts";
import type { CutoutService } from "../../cutouts/service.ts";

const jobSchema = z.object({
  state: z.enum(["waiting", "inferring", "rendering", "unknown"]).describe(
    "`unknown`: not started, finished, served from the cache, or sent to another instance.",
  ),
  position: z.int().min(1).optional().describe(
    "The image's place in line, from 1. Missing if it waits for something else, such as another instance's inference.",
  ),
}).meta({ id: "Job" });

export const jobsPaths = [
  describeRoute({
    method: "get",
    path: "/jobs/{id}",
    operationId: "getJob",
    summary: "The progress of a request",
    description:
      "For clients that sent an image with a random UUID as `X-Request-Id`. Nobody can guess such an ID, so no token " +
      "is needed. An unknown ID is not an error: a client may ask before its image has arrived.",
    tags: ["cutouts"],
    request: {
      params: z.object({
        id: z.string().meta({
          description: "The `X-Request-Id` of the request with the image.",
          example: "0b7a4f0e-6c1d-4f5e-9a55-3f1c8f0f6f2e",
        }),
      }),
    },
    responses: {
      200: {
        description: "The image's state.",
        headers: commonHeaders,
        content: { "application/json": { schema: jobSchema } },
      },
      ...problems("method_not_allowed"),
    },
  }),
] as const;

export interface JobsRouteOptions {
  cutouts: CutoutService;
}

/** `GET /jobs/{id}`: the progress of an image through queue and engine, for the client that waits for it. */
export function jobsRoute({ cutouts }: JobsRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();

  route.get("/jobs/:id", (c) => {
    c.header("Cache-Control", "no-store");
    return c.json(
      (cutouts.progress(c.req.param("id")) ?? { state: "unknown" }) satisfies z.infer<typeof jobSchema>,
    );
  });

  route.all("/jobs/:id", allowOnly("GET", "HEAD"));

  return route;
}
