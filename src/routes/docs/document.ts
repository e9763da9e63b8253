import type { ApiDocument } from "../shared/openapi.ts";

// deno-lint-ignore no-explicit-any -- JSON Schema: any of its fields may be missing.
export type Schema = Record<string, any>;

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema: Schema;
}

/** One operation of the document. */
export interface Operation {
  /** Unique, and valid as an anchor. */
  id: string;
  method: string;
  path: string;
  tag: string;
  summary: string;
  description?: string;
  parameters: Parameter[];
  secured: boolean;
  /** By media type. */
  bodies: [mediaType: string, schema: Schema][];
  responses: {
    status: string;
    description: string;
    types: string[];
    schemas: [mediaType: string, schema: Schema][];
    headers: string[];
  }[];
}

/** The operations in the order of the document's paths. */
export function operationsOf({ paths = {} }: ApiDocument): Operation[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item as Schema).map(([method, operation]: [string, Schema]): Operation => ({
      id: `${method}${path}`.replaceAll(/[^a-z0-9]+/gi, "-"),
      method,
      path,
      tag: operation.tags?.[0] ?? "other",
      summary: operation.summary,
      description: operation.description,
      parameters: operation.parameters ?? [],
      // `{}` comes first if the operation needs no token on a server without tokens.
      secured: Object.keys(operation.security?.[0] ?? {}).length > 0,
      bodies: schemasOf(operation.requestBody?.content),
      responses: Object.entries(operation.responses as Schema).map(([status, response]) => ({
        status,
        description: response.description ?? "",
        types: Object.keys(response.content ?? {}),
        schemas: schemasOf(response.content),
        headers: Object.keys(response.headers ?? {}),
      })),
    }))
  );
}

function schemasOf(content: Schema | undefined): [string, Schema][] {
  return Object.entries(content ?? {}).map(([mediaType, { schema }]) => [mediaType, schema ?? {}]);
}

/** The schema, or the component that it refers to. */
export function resolve({ components }: ApiDocument, schema: Schema | undefined): Schema {
  const [, name] = /^#\/components\/schemas\/(.+)$/.exec(schema?.$ref ?? "") ?? [];
  return name === undefined ? schema ?? {} : components?.schemas?.[name] ?? {};
}
