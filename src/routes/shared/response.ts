import type { Context } from "hono";
import type { Entry } from "../../cache/store.ts";
import type { CutoutResult } from "../../cutouts/service.ts";
import { ageOf, cacheStatus, serverTiming } from "./headers.ts";
import type { AppEnv } from "./context.ts";

export type HeaderFields = Readonly<Record<string, string>>;

/** Adds to the headers that the answer to this request has, whatever it will be. */
export function addHeaders(c: Context<AppEnv>, headers: HeaderFields): void {
  c.set("ownHeaders", { ...c.get("ownHeaders"), ...headers });
}

/**
 * Gives the response the headers that were set aside for it, unless it is one of {@link RepeatedAnswers}, which has them,
 * or says something else itself. In place: Hono's `c.header()` would make a stream of its body.
 */
export function completeHeaders(c: Context<AppEnv>): void {
  if (c.get("answer") === c.res) return;
  const { headers } = c.res;
  for (const [name, value] of Object.entries({ ...c.get("commonHeaders"), ...c.get("ownHeaders") })) {
    if (!headers.has(name)) headers.set(name, value);
  }
}

/**
 * Says how long the body of an answer to HEAD would be (RFC 9110, section 9.3.2). It is not sent, so that the runtime would
 * count nothing.
 */
export async function countBody({ res, req }: Context<AppEnv>): Promise<void> {
  if (req.method !== "HEAD" || res.body === null || res.headers.has("Content-Length")) return;
  const { byteLength } = await res.arrayBuffer();
  res.headers.set("Content-Length", `${byteLength}`);
}

/**
 * Answers that memory gives again and again. The first is kept with its entry, and each is a clone of it, with the body and
 * the headers that the first has: a new response has its own copy of a body, and the runtime looks at each letter of each
 * header, which was half the time of a 304.
 */
export class RepeatedAnswers {
  readonly #first = new WeakMap<Entry, Response>();

  /**
   * @param status 304 has no body, 200 that of the entry.
   * @param headers those that are the same for each request that this entry answers.
   */
  send(c: Context<AppEnv>, prediction: CutoutResult, status: 200 | 304, headers: () => HeaderFields): Response {
    const { entry, source } = prediction;
    // Of a file that is not ready to be sent, it would be a second copy.
    const repeated = source === "memory" && (status === 304 || entry.ready !== undefined);
    let first = repeated ? this.#first.get(entry) : undefined;
    if (first === undefined) {
      first = status === 304
        ? new Response(null, { status })
        : entry.ready?.response.clone() ?? new Response(entry.bytes);
      const fields = {
        ...c.get("commonHeaders"),
        ...headers(),
        // Said here since an answer to HEAD has no body to count, and before Deno 2.9 clones had not either.
        ...(status === 200 && { "Content-Length": `${entry.ready?.length ?? entry.bytes.length}` }),
      };
      set(first, { ...fields, "ETag": `"${entry.etag}"`, "Cache-Status": cacheStatus(prediction) });
      if (repeated) this.#first.set(entry, first);
    }
    const answer = first.clone();
    set(answer, { ...c.get("ownHeaders"), "Age": ageOf(entry), "Server-Timing": serverTiming(prediction) });
    c.set("answer", answer);
    return answer;
  }
}

function set({ headers }: Response, fields: HeaderFields): void {
  for (const name in fields) headers.set(name, fields[name]);
}
