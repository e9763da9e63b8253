import type { Context } from "hono";
import type { Entry } from "../../cache/store.ts";
import type { CutoutResult } from "../../cutouts/request.ts";
import type { HeaderFields } from "../../http/response_headers.ts";
import { cacheStatus } from "./cache_control.ts";
import type { AppEnv } from "./context.ts";

/**
 * Builds the responses of an API that carry a cutout, with all their headers.
 *
 * Responses to memory hits repeat: the first is kept with its entry, and each later one is a clone of it, with the same
 * body and headers. A new response would copy its body, and the runtime would check each character of each header, which
 * took half the time of a 304.
 */
export class CutoutResponses {
  /** By status: a 200 and a 304 of one entry differ in body and headers. */
  readonly #repeated = { 200: new WeakMap<Entry, Response>(), 304: new WeakMap<Entry, Response>() };

  /**
   * @param status 304 has no body; 200 has that of the entry.
   * @param headers the API's own fields. They must be the same for every response with this entry and status.
   */
  respond(
    c: Context<AppEnv>,
    result: CutoutResult,
    headers: () => HeaderFields,
    status: 200 | 304 = 200,
  ): Response {
    const { entry, source } = result;
    // Keeping a file that memory does not hold ready to send would take another copy.
    const repeats = source === "memory" && (status === 304 || entry.ready !== undefined);
    let first = repeats ? this.#repeated[status].get(entry) : undefined;
    if (first === undefined) {
      first = bodyOf(entry, status);
      setFields(first, { ...c.get("commonHeaders"), ...entryHeaders(result, status), ...headers() });
      if (repeats) this.#repeated[status].set(entry, first);
    }
    const response = repeats ? first.clone() : first;
    setFields(response, { ...c.get("ownHeaders"), ...requestHeaders(result) });
    c.set("completeResponse", response);
    c.set("source", result.coalesced ? "coalesced" : source);
    return response;
  }
}

function bodyOf(entry: Entry, status: 200 | 304): Response {
  if (status === 304) return new Response(null, { status });
  return entry.ready?.response.clone() ?? new Response(entry.bytes);
}

/** Fields that all responses with an entry share. */
function entryHeaders(result: CutoutResult, status: 200 | 304): HeaderFields {
  const { entry } = result;
  return {
    "ETag": `"${entry.etag}"`,
    "Cache-Status": cacheStatus(result),
    ...(status === 200 && {
      "Content-Type": entry.contentType,
      // Set here because a response to HEAD has no body to measure. Before Deno 2.9, clones had no length either.
      "Content-Length": `${entry.ready?.length ?? entry.bytes.length}`,
    }),
  };
}

/** Fields that differ from one request to the next. */
function requestHeaders({ entry, timings }: CutoutResult): HeaderFields {
  return { "Age": ageOf(entry), "Server-Timing": serverTiming(timings) };
}

/** In whole seconds (RFC 9111, section 5.1). */
function ageOf({ created }: Entry): string {
  return `${Math.max(0, Math.floor((Date.now() - created) / 1000))}`;
}

/** W3C Server Timing, in milliseconds. */
function serverTiming(timings: CutoutResult["timings"]): string {
  let stages = "";
  for (const stage in timings) {
    stages += `${stages && ", "}${stage};dur=${timings[stage as keyof typeof timings]!.toFixed(2)}`;
  }
  return stages;
}

function setFields({ headers }: Response, fields: HeaderFields): void {
  for (const name in fields) headers.set(name, fields[name]);
}
