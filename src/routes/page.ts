import { type Context, Hono } from "hono";
import { getMimeType } from "hono/utils/mime";
import { z } from "zod";
import { sha256 } from "../base/hash.ts";
import { allowOnly } from "./shared/errors.ts";
import { negotiate } from "./shared/negotiation.ts";
import { HttpError } from "../http/errors.ts";
import { matchesEtag } from "./shared/cache_control.ts";
import type { AppEnv } from "./shared/context.ts";
import { commonHeaders, describeRoute, header, problems } from "./shared/openapi.ts";

export const pagePaths = [
  describeRoute({
    method: "get",
    path: "/page/{file}",
    operationId: "getPageFile",
    summary: "Files of the page at /",
    description: "Scripts, stylesheet and icon. They load nothing from other hosts.",
    tags: ["service"],
    request: { params: z.object({ file: z.string().meta({ example: "app.js" }) }) },
    responses: {
      200: {
        description: "A file of the page.",
        headers: { ...commonHeaders, "ETag": header("Strong; for `If-None-Match`.") },
        content: {
          "text/javascript": { schema: z.string() },
          "text/css": { schema: z.string() },
          "image/svg+xml": { schema: z.string() },
        },
      },
      304: { description: "The client's copy is current.", headers: commonHeaders },
      ...problems("not_found"),
    },
  }),
] as const;

/** Everything comes from this server. `blob:` allows the images that the page creates from files and responses. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export interface PageRouteOptions {
  /** The folder of the page's files, `index.html` among them. */
  pageFolder: URL;
}

interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly etag: string;
}

/** The page for browsers: at `/` if HTML is preferred, its files under `/page/`. The files are read on the first request. */
export function pageRoute({ pageFolder }: PageRouteOptions): Hono<AppEnv> {
  const route = new Hono<AppEnv>();
  let files: Promise<Map<string, PageFile>> | undefined;

  const serve = async (c: Context<AppEnv>, name: string): Promise<Response> => {
    // The name is only looked up among the files that were read. It never becomes a path.
    const file = (await (files ??= readFiles(pageFolder))).get(name);
    if (file === undefined) throw new HttpError(404, "not_found", "the page has no file with this name");
    const { bytes, contentType, etag } = file;
    // Browsers revalidate each file every time, so that a page never runs scripts of another version. The files are small.
    const headers = { "ETag": `"${etag}"`, "Cache-Control": "no-cache" };
    if (matchesEtag(c.req.header("If-None-Match"), etag)) return c.body(null, 304, headers);
    return c.body(bytes, 200, { ...headers, "Content-Type": contentType });
  };

  route.get("/", async (c, next) => {
    if (negotiate(c, ["text/plain", "application/json", "text/html"]) !== "text/html") return await next();
    c.header("Vary", "Accept");
    c.header("Content-Security-Policy", POLICY);
    return await serve(c, "index.html");
  });

  route.get("/page/:file", async (c) => await serve(c, c.req.param("file")));
  route.all("/page/:file", allowOnly("GET", "HEAD"));

  return route;
}

async function readFiles(folder: URL): Promise<Map<string, PageFile>> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return new Map(
    await Promise.all(
      entries.filter(({ isFile }) => isFile).map(async ({ name }): Promise<[string, PageFile]> => {
        const bytes = await Deno.readFile(new URL(name, folder));
        const contentType = getMimeType(name) ?? "application/octet-stream";
        return [name, { bytes, contentType, etag: (await sha256(bytes)).slice(0, 32) }];
      }),
    ),
  );
}
