import type { Logger } from "@logtape/logtape";
import type { Context, MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Observer } from "../../telemetry/observer.ts";
import { addHeaders, completeHeaders, countBody, type HeaderFields } from "./response.ts";
import { isUnexpected } from "./errors.ts";

/** What every handler finds in its context. */
export interface AppEnv {
  /** What `Deno.serve` tells of a connection; a request without a socket has none. */
  Bindings: Partial<Deno.ServeHandlerInfo<Deno.NetAddr>>;
  Variables: {
    /** Names this request in the logs: its `X-Request-Id`, or six hexadecimal digits. */
    requestId: string;
    /** Adds the job's id to each line. */
    logger: Logger;
    /** Whether the request has passed the guard. */
    admitted?: boolean;
    /** Headers that every answer has, and those that only the answer to this request has; see `answer.ts`. */
    commonHeaders?: HeaderFields;
    ownHeaders?: HeaderFields;
    /** The answer where it has them already. */
    answer?: Response;
  };
}

/** Paths that a probe asks each second; their lines are kept for `LOG_LEVEL=debug`. */
const PROBED = new Set(["/health", "/livez", "/readyz", "/metrics"]);

/** Ids of others that are taken over: nothing that could break a log line. */
const REQUEST_ID = /^[\w.-]{1,64}$/;

/** Gives each request a job id, or takes over the one it brings, and tells log and observer when it starts and ends. */
export function job(
  logger: Logger,
  observer: Pick<Observer, "requestBegan" | "requestEnded">,
): MiddlewareHandler<AppEnv> {
  return async function job(c, next) {
    const started = performance.now();
    const given = c.req.header("X-Request-Id");
    const requestId = given !== undefined && REQUEST_ID.test(given)
      ? given
      : crypto.getRandomValues(new Uint8Array(3)).toHex();
    const jobLogger = logger.with({ request_id: requestId });
    const level = PROBED.has(c.req.path) ? "debug" : "info";
    c.set("requestId", requestId);
    c.set("logger", jobLogger);
    jobLogger[level]("START {method} {path}", { method: c.req.method, path: c.req.path });
    addHeaders(c, { "X-Request-Id": requestId });
    observer.requestBegan();
    await next();
    completeHeaders(c);
    await countBody(c);
    const elapsedMs = performance.now() - started;
    observer.requestEnded({ route: routeOf(c), method: c.req.method, status: c.res.status, elapsedMs });
    jobLogger[level]("END {status}, elapsed_time [ms]: {elapsed_time [ms]}", {
      status: c.res.status,
      "elapsed_time [ms]": Number(elapsedMs.toFixed(3)),
    });
  };
}

/** The pattern that the request's path fits best; `none` where only middleware sees it. */
function routeOf(c: Context<AppEnv>): string {
  const path = routePath(c, -1);
  return path.endsWith("*") ? "none" : path;
}

/** Logs an error where it is a fault of ours, with everything that the sender is not told. */
export function logUnexpected(c: Context<AppEnv>, error: unknown): void {
  if (!isUnexpected(error)) return;
  c.get("logger").error("unexpected failure: {error}", {
    error: error instanceof Error ? error.stack ?? error.message : String(error),
  });
}
