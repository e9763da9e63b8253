import type { OpenAPIHono, RouteConfig } from "@hono/zod-openapi";
import { z } from "zod";
import { type ErrorCode, errorCodes, type StatusOf } from "../../base/errors.ts";
import type { AppEnv } from "./context.ts";

/**
 * Describes a route for `/openapi.json` and for typed clients, and does nothing else: what comes is parsed by the route's
 * handler. Whether what it answers is what is described here is checked by every test that asks a started server.
 */
export function describeRoute<Path extends string, Route extends Omit<RouteConfig, "path"> & { path: Path }>(
  route: Route,
): Route {
  return route;
}

declare const anyApp: OpenAPIHono<AppEnv>;

/** The application that has these routes, as typed clients see it. */
export type Described<Routes extends readonly RouteConfig[]> = ReturnType<
  typeof anyApp.openapiRoutes<
    { readonly [Index in keyof Routes]: { route: Routes[Index]; handler: unknown; addRoute: true } }
  >
>;

/** A header that is always there. */
export const header = (description: string) => ({ description, required: true, schema: { type: "string" as const } });
const optional = (description: string) => ({ ...header(description), required: false });

/** A body that is a file. */
export const binaryFile = { schema: { type: "string" as const, format: "binary" as const } };

/** A file in a form. */
export const fileSchema = (description: string) => z.instanceof(File).meta({ ...binaryFile.schema, description });

/** Of every answer. */
export const commonHeaders = { "X-Request-Id": header("Names this request in the server's log.") };

/** Of a cutout; see `predictionHeaders`. */
export const predictionHeadersDescribed = {
  ...commonHeaders,
  "ETag": header("Strong; for `If-None-Match`."),
  "Age": {
    ...header("How long ago the cutout was made, in seconds."),
    schema: { type: "integer" as const, minimum: 0 },
  },
  "Cache-Status": header("How the cutout was come by (RFC 9211)."),
  "Server-Timing": header("What each stage took, in milliseconds."),
  "Cache-Control": header("Who may keep the answer, and for how long."),
};

/** The headers of a request that the cache heeds. */
export const cacheControlParameter = z.object({
  "Cache-Control": z.string().optional().meta({
    description: "`no-cache` makes the cutout anew, or asks the durable store; `no-store` passes by the cache.",
    example: "no-cache",
  }),
});

/** Headers of errors, by status. */
const errorHeaders: { [status: number]: Record<string, ReturnType<typeof header>> } = {
  401: { "WWW-Authenticate": header("How to send the token (RFC 9110, section 11.6.1).") },
  405: { Allow: header("The methods that the address takes.") },
  429: { "Retry-After": header("When to come back, in seconds.") },
  503: { "Retry-After": optional("When to come back, in seconds, where that can be told.") },
};

/*
 * Errors that whole kinds of routes may answer with.
 */

/** Routes behind the tokens and the rate limit. */
export const admissionCodes = ["unauthorized", "rate_limited"] as const;

/** Routes that read a body. */
export const bodyCodes = ["incomplete_body", "body_timeout", "body_too_large", "too_much_pending"] as const;

/** Routes that work on an image. */
export const imageCodes = [
  "invalid_image",
  "image_too_large",
  "unsupported_format",
  "unknown_model",
  "queue_full",
  "client_gone",
  "closed",
  "deadline_exceeded",
] as const;

/** Routes that fetch an image from an address. */
export const imageUrlCodes = [
  "image_urls_off",
  "image_url_refused",
  "image_url_too_large",
  "invalid_image_url",
  "image_url_failed",
  "image_url_timeout",
] as const;

/** What a dialect answers with where it cannot serve. */
interface ErrorShape<MediaType extends string, Schema extends z.ZodType> {
  mediaType: MediaType;
  schema: Schema;
}

/** The responses for these errors, by status, in a dialect's shape; `internal_error` is always one of them. */
export function errorResponses<const Code extends ErrorCode, MediaType extends string, Schema extends z.ZodType>(
  { mediaType, schema }: ErrorShape<MediaType, Schema>,
  ...codes: Code[]
) {
  const byStatus = Map.groupBy([...codes, "internal_error"] as const, (code) => errorCodes[code].status);
  const responses = [...byStatus].map(([status, codes]) => [status, {
    description: codes.map((code) => `\`${code}\`: ${errorCodes[code].title}.`).join(" "),
    headers: { ...commonHeaders, ...errorHeaders[status] },
    content: { [mediaType]: { schema } },
  }]);
  return Object.fromEntries(responses) as {
    [C in Code | "internal_error" as StatusOf<C>]: {
      description: string;
      headers: typeof commonHeaders;
      content: { [M in MediaType]: { schema: Schema } };
    };
  };
}

const problemSchema = z.object({
  type: z.string().meta({ description: "Where the code is described.", format: "uri-reference" }),
  title: z.string().meta({ description: "The same for each occurrence of the code." }),
  status: z.int().min(400).max(599),
  detail: z.string().meta({ description: "What was wrong this time, and what would be right." }),
  code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
  request_id: z.string().meta({ description: "Names this request in the server's log." }),
}).meta({ id: "Problem" });

/** {@link errorResponses} as problem details (RFC 9457). */
export function problems<const Code extends ErrorCode>(...codes: Code[]) {
  return errorResponses({ mediaType: "application/problem+json", schema: problemSchema }, ...codes);
}

/** Either way to send the token; see `tokenOf`. */
export const tokenSecurity: Record<string, string[]>[] = [{ bearer: [] }, { apiKey: [] }];

/** A token, where the server asks for any. */
export const clientSecurity: Record<string, string[]>[] = [{}, ...tokenSecurity];

/** An OpenAPI 3.1 document. */
export type ApiDocument = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;

/** The document of these routes. What makes it is loaded when somebody asks: most servers never need it. */
export async function documentOf(routes: readonly RouteConfig[], version: string): Promise<ApiDocument> {
  const { OpenAPIHono } = await import("@hono/zod-openapi");
  const app = new OpenAPIHono();
  const registry = app.openAPIRegistry;
  for (const route of routes) registry.registerPath(route);
  registry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  registry.registerComponent("securitySchemes", "apiKey", { type: "apiKey", in: "header", name: "X-Api-Key" });
  return app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Cutcache",
      version,
      description: "Removes the background of images, and never does the same work twice.",
      license: { name: "MIT", url: "https://opensource.org/license/mit" },
    },
    servers: [{ url: "/" }],
  });
}
