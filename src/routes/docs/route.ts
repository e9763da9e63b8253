import { Hono } from "hono";
import { z } from "zod";
import { renderDocs, stylesheetDigest } from "./page.ts";
import { allowOnly } from "../shared/errors.ts";
import type { AppEnv } from "../shared/context.ts";
import { type ApiDocument, commonHeaders, describeRoute, problems } from "../shared/openapi.ts";

export const docsPaths = [
  describeRoute({
    method: "get",
    path: "/openapi.json",
    operationId: "getOpenapi",
    summary: "This API description in OpenAPI 3.1",
    description: "For generators of clients, and for tools that test or import APIs.",
    tags: ["service"],
    responses: {
      200: {
        description: "An OpenAPI 3.1 document.",
        headers: commonHeaders,
        content: {
          "application/json": { schema: z.looseObject({ openapi: z.string(), info: z.looseObject({}) }) },
        },
      },
      ...problems("method_not_allowed"),
    },
  }),
  describeRoute({
    method: "get",
    path: "/docs",
    operationId: "getDocs",
    summary: "This API description as a web page",
    description: "Recipes, endpoints, options and errors, without scripts and without the internet.",
    tags: ["service"],
    responses: {
      200: {
        description: "An HTML page without scripts.",
        headers: {
          ...commonHeaders,
          "Content-Security-Policy": { required: true, schema: { type: "string" } },
        },
        content: { "text/html": { schema: z.string() } },
      },
      ...problems("method_not_allowed"),
    },
  }),
] as const;

export interface DocsRouteOptions {
  /** Builds the document; called once, on the first request. */
  describe: () => Promise<ApiDocument>;
}

/** The API description: `GET /openapi.json` for programs, `GET /docs` for people. */
export function docsRoute({ describe }: DocsRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  let document: ApiDocument | undefined;

  route.get("/openapi.json", async (c) => c.json(document ??= await describe()));

  route.get("/docs", async (c) => {
    c.header(
      "Content-Security-Policy",
      [
        "default-src 'none'",
        `style-src 'sha256-${stylesheetDigest()}'`,
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
      ].join("; "),
    );
    return c.html(renderDocs(document ??= await describe(), new URL(c.req.url).origin));
  });

  for (const path of ["/openapi.json", "/docs"]) route.all(path, allowOnly("GET", "HEAD"));

  return route;
}
