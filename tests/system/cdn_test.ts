import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const ADMIN_TOKEN = "0123456789abcdef";
const admin = { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } };

Deno.test("CDN › cutouts have headers to cache and purge them by, and deleting purges them", async () => {
  const purged: unknown[] = [];
  let status = 200;
  await using cdn = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    assert.equal(request.method, "POST");
    assert.equal(new URL(request.url).pathname, "/invalidate/http");
    purged.push(await request.json());
    return new Response(null, { status });
  });
  await using server = await TestServer.quick({
    ADMIN_TOKEN,
    CDN_PURGE_URL: `http://127.0.0.1:${cdn.addr.port}/invalidate/http`,
  });
  const image = await discImage(1);
  const digest = createHash("sha256").update(image).digest("hex");
  const get = async (query = "", headers: Record<string, string> = {}) => {
    const response = await server.fetch(`/cutouts/${digest}${query}`, { headers });
    await response.body?.cancel();
    return response;
  };
  const miss = await get();
  assert.equal(miss.status, 404);
  assert.equal(miss.headers.get("Cache-Control"), "no-store");
  assert.equal(miss.headers.get("Deno-Cache-Id"), null);

  await server.cutout("a.png", image);
  await (await server.fetch("/cutouts?format=webp", { method: "POST", body: image })).body?.cancel();
  const [png, webp] = [await get(), await get("?format=webp")];
  for (const { headers } of [png, webp]) {
    assert.match(headers.get("Cache-Control")!, /\bs-maxage=\d+/);
    assert.deepEqual(headers.get("Deno-Cache-Tag")!.split(","), [digest, "cutcache"]);
  }
  assert.notEqual(png.headers.get("Deno-Cache-Id"), webp.headers.get("Deno-Cache-Id"), "each file has its own id");
  const notModified = await get("", { "If-None-Match": png.headers.get("ETag")! });
  assert.equal(notModified.status, 304);
  assert.equal(notModified.headers.get("Deno-Cache-Id"), png.headers.get("Deno-Cache-Id"));

  await server.settled();
  const one = await server.fetch(`/cache/${digest}`, { method: "DELETE", ...admin });
  assert.deepEqual(await one.json(), { deleted: 3, purged: true });
  assert.deepEqual(purged, [{ tags: [digest] }]);
  status = 500;
  const all = await server.fetch("/cache", { method: "DELETE", ...admin });
  assert.deepEqual(await all.json(), { deleted: 0, purged: false });
  assert.deepEqual(purged.at(-1), { tags: ["cutcache"] });
  await server.logged(({ level, message }) => level === "warning" && message.includes("returned 500"));
});

Deno.test("CDN › private cutouts have no CDN headers, and deleting reports if there is no CDN", async () => {
  const API_TOKENS = "fedcba9876543210";
  await using server = await TestServer.quick({
    ADMIN_TOKEN,
    API_TOKENS,
    CDN_PURGE_URL: "http://127.0.0.1:1/invalidate/http", // nothing listens there
  });
  const image = await discImage(2);
  const authorized = { Authorization: `Bearer ${API_TOKENS}` };
  const posted = await server.fetch("/cutouts", { method: "POST", body: image, headers: authorized });
  await posted.body?.cancel();
  const response = await server.fetch(posted.headers.get("Location")!, { headers: authorized });
  await response.body?.cancel();
  assert.equal(response.status, 200);
  assert.match(response.headers.get("Cache-Control")!, /^private/);
  assert.equal(response.headers.get("Deno-Cache-Id"), null);
  assert.equal(response.headers.get("Deno-Cache-Tag"), null);
  const digest = createHash("sha256").update(image).digest("hex");
  const deleted = await server.fetch(`/cache/${digest}`, { method: "DELETE", ...admin });
  assert.equal((await deleted.json()).purged, false);
});
