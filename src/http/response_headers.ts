import type { Context } from "hono";

/** Header fields by name. */
export type HeaderFields = Readonly<Record<string, string>>;

/** The request context of the HTTP middleware. */
export interface HttpEnv {
  /** The connection, as `Deno.serve` describes it; empty for a request without a socket. */
  Bindings: Partial<Deno.ServeHandlerInfo<Deno.NetAddr>>;
  Variables: {
    /** Fields that every response of this server has. */
    commonHeaders?: HeaderFields;
    /** Fields that only the response to this request has. */
    ownHeaders?: HeaderFields;
    /** The response, if it already has both kinds of fields. */
    completeResponse?: Response;
    /** Whether the request has passed access control. */
    admitted?: boolean;
    /** The id of the request's token, if each token has cache entries of its own. */
    cacheScope?: string;
  };
}

/** Adds fields to the response to this request, no matter which handler creates it. */
export function addHeaders(c: Context, headers: HeaderFields): void {
  c.set("ownHeaders", { ...c.get("ownHeaders"), ...headers });
}

/**
 * Sets the fields that were added for the response, unless the response has its own value or is already complete. It
 * changes the headers in place: Hono's `c.header()` would turn the body into a stream, which halves the speed of memory
 * hits.
 */
export function completeHeaders(c: Context): void {
  const { completeResponse, commonHeaders, ownHeaders }: HttpEnv["Variables"] = c.var;
  if (completeResponse === c.res) return;
  const { headers } = c.res;
  for (const [name, value] of Object.entries({ ...commonHeaders, ...ownHeaders })) {
    if (!headers.has(name)) headers.set(name, value);
  }
}

/**
 * Sets `Content-Length` of a response to HEAD to the length that GET would send (RFC 9110, section 9.3.2). The runtime
 * sends no body, so it would send 0.
 */
export async function setLengthForHead({ res, req }: Context): Promise<void> {
  if (req.method !== "HEAD" || res.body === null || res.headers.has("Content-Length")) return;
  const { byteLength } = await res.arrayBuffer();
  res.headers.set("Content-Length", `${byteLength}`);
}
