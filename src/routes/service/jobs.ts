import { Hono } from "hono";
import { z } from "zod";
import { allowOnly } from "../shared/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { commonHeaders, describeRoute, problems } from "../shared/openapi.ts";
import type { CutoutService } from "../../cutouts/service.ts";

const jobSchema = z.object({
  state: z.enum(["waiting", "inferring", "rendering", "unknown"]).describe(
    "`unknown`: not begun, over, answered by the cache, or in the hands of another instance.",
  ),
  position: z.int().min(1).optional().describe(
    "The image's place in line, from 1; missing where it waits for something else, such as another instance's inference.",
  ),
}).meta({ id: "Job" });

export const jobsPaths = [
  describeRoute({
    method: "get",
    path: "/jobs/{id}",
    summary: "Where an image is that has been sent and is not answered yet",
    description:
      "For whoever sent it with a random UUID as `X-Request-Id`; it needs no token and is not limited, as nobody guesses " +
      "such an id. What is not known is no error, so that a client may begin to ask before the image has arrived.",
    tags: ["cutouts"],
    request: {
      params: z.object({
        id: z.string().meta({
          description: "The `X-Request-Id` of the request that brings the image.",
          example: "0b7a4f0e-6c1d-4f5e-9a55-3f1c8f0f6f2e",
        }),
      }),
    },
    responses: {
      200: {
        description: "The state of the image.",
        headers: commonHeaders,
        content: { "application/json": { schema: jobSchema } },
      },
      ...problems(),
    },
  }),
] as const;

export interface JobsRouteOptions {
  cutouts: CutoutService;
}

/** `GET /jobs/{id}`: the way of an image through the queue and the engine, for whoever waits for it. */
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
