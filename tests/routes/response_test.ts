import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { Hono } from "hono";
import type { Entry } from "../../src/cache/store.ts";
import { CutoutResponses } from "../../src/routes/shared/response.ts";
import { base64Json } from "../../src/cutouts/representation.ts";
import { secureHeaders } from "../../src/http/browser_headers.ts";
import { addHeaders } from "../../src/http/response_headers.ts";
import { type AppEnv, requestScope } from "../../src/routes/shared/context.ts";
import type { CutoutResult } from "../../src/cutouts/request.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";

const file = new Uint8Array(30_000).fill(7);
const entry: Entry = { bytes: file, contentType: "image/png", created: Date.now() - 5000, etag: "e1" };
const inJson: Entry = { ...entry, ...base64Json('{"a":"', { bytes: file }, '"}'), etag: "e1-json" };

/** An app that responds to `/304` and `/200` with an entry from a source, and counts how often it builds headers. */
function appFor(entry: Entry, source: string) {
  const app = new Hono<AppEnv>();
  const responses = new CutoutResponses();
  const built = { headers: 0 };
  app.use(requestScope(getLogger("cutcache"), new Telemetry()), secureHeaders({ embeddable: false }));
  app.get("/:status", (c) => {
    const status = c.req.param("status") === "304" ? 304 : 200;
    addHeaders(c, { "RateLimit-Remaining": c.req.query("remaining")! });
    const result: CutoutResult = {
      ...{ entry, source, key: "cutout:k", image: "name:i" as CutoutResult["image"], coalesced: false },
      ...{ cacheUse: "default", timings: { hash: 0.5, cache: Number(c.req.query("remaining")) } },
    };
    return responses.respond(
      c,
      result,
      () => {
        built.headers++;
        return { "Cache-Control": "no-store" };
      },
      status,
    );
  });
  const get = async (status: number, remaining: number) =>
    await app.request(`/${status}?remaining=${remaining}`, { headers: { "X-Request-Id": `r${remaining}` } });
  return { get, built };
}

Deno.test("responses › a repeated memory hit shares body and headers with the first, except for its own fields", async () => {
  const { get, built } = appFor(inJson, "memory");
  const [first, second] = [await get(200, 8), await get(200, 7)];
  assert.equal(built.headers, 1);
  assert.deepEqual([first, second].map(({ headers }) => headers.get("X-Request-Id")), ["r8", "r7"]);
  assert.deepEqual([first, second].map(({ headers }) => headers.get("RateLimit-Remaining")), ["8", "7"]);
  assert.equal(second.headers.get("Server-Timing"), "hash;dur=0.50, cache;dur=7.00");
  for (const { status, headers } of [first, second]) {
    assert.equal(status, 200);
    assert.equal(headers.get("ETag"), '"e1-json"');
    const age = Number(headers.get("Age"));
    assert.ok(age >= 5 && age <= (Date.now() - entry.created) / 1000, `${age} s`);
    assert.equal(headers.get("Cache-Status"), 'Cutcache; hit; detail=memory; key="cutout:k"');
    assert.equal(headers.get("Cache-Control"), "no-store");
    assert.equal(headers.get("Content-Type"), "application/json");
    assert.equal(headers.get("X-Frame-Options"), "DENY");
  }
  const [one, other] = [await first.bytes(), await second.bytes()];
  assert.equal(JSON.parse(new TextDecoder().decode(one)).a, file.toBase64());
  assert.equal(one.buffer, other.buffer, "the bodies share one buffer");
});

Deno.test("responses › a 304 has all headers and no body", async () => {
  for (const [source, times] of [["memory", 1], ["redis", 2]] as const) {
    const { get, built } = appFor(entry, source);
    const [first, second] = [await get(304, 2), await get(304, 1)];
    assert.equal(built.headers, times, source);
    for (const { status, body, headers } of [first, second]) {
      assert.deepEqual([status, body], [304, null]);
      assert.equal(headers.get("ETag"), '"e1"');
      assert.equal(headers.get("X-Frame-Options"), "DENY");
      assert.match(headers.get("Cache-Status")!, new RegExp(`hit; detail=${source}`));
    }
    assert.equal(second.headers.get("X-Request-Id"), "r1");
  }
});

Deno.test("responses › memory holds a file once, and only responses copy it", async () => {
  const { get, built } = appFor(entry, "memory");
  const [first, second] = [await get(200, 2), await get(200, 1)];
  assert.equal(built.headers, 2);
  assert.deepEqual(await first.bytes(), file);
  const sent = await second.bytes();
  assert.deepEqual(sent, file);
  assert.notEqual(sent.buffer, file.buffer);
});

Deno.test("responses › a 200 and a 304 for the same entry are kept apart", async () => {
  const { get } = appFor(inJson, "memory");
  const statuses = [];
  for (const status of [200, 304, 200, 304]) {
    const response = await get(status, 1);
    statuses.push([response.status, (await response.bytes()).length > 0, response.headers.has("Content-Type")]);
  }
  assert.deepEqual(statuses, [[200, true, true], [304, false, false], [200, true, true], [304, false, false]]);
});
