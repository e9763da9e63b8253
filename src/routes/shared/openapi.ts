import type { OpenAPIHono, RouteConfig } from "@hono/zod-openapi";
import { z } from "zod";
import { type ErrorCode, errorCodes, type StatusOf } from "../../base/errors.ts";
import type { AppEnv } from "./context.ts";

/**
 * Describes a route for `/openapi.json` and for typed clients. It does nothing else: the route's handler parses requests.
 * Every test that calls a real server compares the responses with these descriptions.
 */
export function describeRoute<
  Path extends string,
  Route extends Omit<RouteConfig, "path" | "operationId"> & { path: Path; operationId: string },
>(
  route: Route,
): Route {
  return route;
}

declare const anyApp: OpenAPIHono<AppEnv>;

/** The application with these routes, as typed clients see it. */
export type Described<Routes extends readonly RouteConfig[]> = ReturnType<
  typeof anyApp.openapiRoutes<
    { readonly [Index in keyof Routes]: { route: Routes[Index]; handler: unknown; addRoute: true } }
  >
>;

/** A header that is always present. */
export const header = (description: string) => ({ description, required: true, schema: { type: "string" as const } });
const optional = (description: string) => ({ ...header(description), required: false });

/** A file as a body. */
export const binaryFile = { schema: { type: "string" as const, format: "binary" as const } };

/** A file as a form field. */
export const fileSchema = (description: string) => z.instanceof(File).meta({ ...binaryFile.schema, description });

/**
 * The fields of a schema without their default values, which the descriptions name instead. Generated clients send every
 * default value that they know: those of the query and of the body would contradict each other, and `format` would
 * overrule `Accept`.
 */
export function withoutDefaults<Schema extends z.ZodObject>(schema: Schema): Schema {
  const fields = Object.entries(schema.shape).map(([name, field]) => {
    if (!(field instanceof z.ZodDefault)) return [name, field];
    const value = field.unwrap() as z.ZodType;
    const { description, ...meta } = { ...value.meta(), ...field.meta() };
    const described = `${description ?? ""} Default: \`${field.def.defaultValue}\`.`.trim();
    return [name, value.optional().meta({ ...meta, description: described })];
  });
  return z.object(Object.fromEntries(fields)) as unknown as Schema;
}

/** Headers of every response. */
export const commonHeaders = { "X-Request-Id": header("Identifies this request in the server's log.") };

/** Headers of every cutout; see `CutoutResponses`. */
export const cutoutHeaders = {
  ...commonHeaders,
  "ETag": header("A strong entity tag, for `If-None-Match`."),
  "Age": {
    ...header("Time since the cutout was made, in seconds."),
    schema: { type: "integer" as const, minimum: 0 },
  },
  "Cache-Status": header("Where the cutout came from (RFC 9211)."),
  "Server-Timing": header("Duration of each stage, in milliseconds."),
  "Cache-Control": header("Who may cache the response, and for how long."),
};

/** Request headers that affect the cache. */
export const cacheControlParameter = z.object({
  "Cache-Control": z.string().optional().meta({
    description:
      "`no-cache`: makes a new cutout (POST), or reads the durable store (GET). `no-store`: bypasses the cache.",
    example: "no-cache",
  }),
});

/** Headers of errors, by status. */
const errorHeaders: { [status: number]: Record<string, ReturnType<typeof header>> } = {
  401: { "WWW-Authenticate": header("How to send the token (RFC 9110, section 11.6.1).") },
  405: { Allow: header("The methods that this path supports.") },
  429: { "Retry-After": header("When to retry, in seconds.") },
  503: { "Retry-After": optional("When to retry, in seconds, if that can be estimated.") },
};

/*
 * Errors that all routes of a kind may return.
 */

/** Routes behind access control. */
export const accessCodes = ["unauthorized", "rate_limited"] as const;

/** Routes that read a body. */
export const bodyCodes = [
  "incomplete_body",
  "body_timeout",
  "body_too_large",
  "unsupported_encoding",
  "too_much_pending",
] as const;

/** Routes that process an image. */
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

/** Routes that fetch an image by its URL. */
export const imageUrlCodes = [
  "image_urls_off",
  "image_url_refused",
  "image_url_too_large",
  "invalid_image_url",
  "image_url_failed",
  "image_url_timeout",
] as const;

/** The error format of an API. */
interface ErrorShape<MediaType extends string, Schema extends z.ZodType> {
  mediaType: MediaType;
  schema: Schema;
}

/** Responses for these errors, by status, in an API's format. They always include `internal_error`. */
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
  type: z.string().meta({ description: "The page that describes the code.", format: "uri-reference" }),
  title: z.string().meta({ description: "Short description of the code." }),
  status: z.int().min(400).max(599),
  detail: z.string().meta({ description: "The problem with this request, and how to fix it." }),
  code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
  request_id: z.string().meta({ description: "Identifies this request in the server's log." }),
}).meta({ id: "Problem" });

/** {@link errorResponses} as problem details (RFC 9457). */
export function problems<const Code extends ErrorCode>(...codes: Code[]) {
  return errorResponses({ mediaType: "application/problem+json", schema: problemSchema }, ...codes);
}

/** The two ways to send a token; see `tokenOf`. */
export const tokenSecurity: Record<string, string[]>[] = [{ bearer: [] }, { apiKey: [] }];

/** A token, if the server requires one. */
export const clientSecurity: Record<string, string[]>[] = [{}, ...tokenSecurity];

/** An OpenAPI 3.1 document. */
export type ApiDocument = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;

/** Groups of operations, in the order of `/docs`. */
const TAGS = {
  cutouts: "Make and get cutouts.",
  rembg: "For clients of rembg's server.",
  "remove.bg": "For clients of remove.bg.",
  cache: "Inspect and empty the cache.",
  service: "The service about itself.",
};

/** The document that describes these routes. The generator is loaded on the first call, since most servers never need it. */
export async function documentOf(routes: readonly RouteConfig[], version: string): Promise<ApiDocument> {
  const { OpenAPIHono } = await import("@hono/zod-openapi");
  const app = new OpenAPIHono();
  const registry = app.openAPIRegistry;
  // `security` is explicit: an operation without it would look as if it had been forgotten.
  for (const route of routes) registry.registerPath({ ...route, security: route.security ?? [] });
  registry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  registry.registerComponent("securitySchemes", "apiKey", { type: "apiKey", in: "header", name: "X-Api-Key" });
  return app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Cutcache",
      version,
      description: "Removes the background from images and never does the same work twice.",
      contact: { name: "The operator of this server" },
      license: { name: "MIT", url: "https://opensource.org/license/mit" },
    },
    servers: [{ url: "/", description: "The server that this document comes from." }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
  });
}
