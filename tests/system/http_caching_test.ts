import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const TOKEN = "0123456789abcdef";
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** The parameters of `Cache-Status` (RFC 9211), those without a value as `true`. */
function cacheStatus(response: Response): Record<string, string | true> {
  const [cache, ...parameters] = response.headers.get("Cache-Status")!.split("; ");
  assert.equal(cache, "Cutcache");
  return Object.fromEntries(parameters.map((parameter) => {
    const [name, value] = parameter.split("=");
    return [name, value ?? true];
  }));
}

function stages(response: Response): string[] {
  const timing = response.headers.get("Server-Timing");
  return timing ? timing.split(", ").map((stage) => stage.split(";")[0]) : [];
}

Deno.test("HTTP caching", async (t) => {
  await using server = await TestServer.quick({ ADMIN_TOKEN: TOKEN });
  const image = await discImage(1);
  const address = `/cutouts/${digest(image)}`;
  const get = async (path: string, headers: Record<string, string> = {}, method = "GET") => {
    const response = await server.fetch(path, { method, headers });
    return { response, bytes: new Uint8Array(await response.arrayBuffer()) };
  };

  await t.step("with Prefer: handling=lenient, a missing cutout is not an error", async () => {
    assert.equal((await get(address)).response.status, 404);
    const { response } = await get(address, { Prefer: "respond-async, handling=lenient" });
    assert.equal(response.status, 204);
    assert.equal(response.headers.get("Preference-Applied"), "handling=lenient");
    assert.equal(response.headers.get("Cache-Control"), "no-store");
    assert.equal((await get(address, { Prefer: "handling=strict" })).response.status, 404);
  });
  const predict = async (headers: Record<string, string>) => {
    const body = JSON.stringify({ file_path: "a.png", img_base64: image.toBase64() });
    const response = await server.fetch("/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body,
    });
    assert.equal(response.status, 200);
    const { img_none_bg_base64 } = await response.json();
    return { response, file: Uint8Array.fromBase64(img_none_bg_base64) };
  };
  let etag = "";

  await t.step("an unknown image is 404, which must not be cached", async () => {
    const { response, bytes } = await get(address);
    assert.equal(response.status, 404);
    assert.equal(response.headers.get("Cache-Control"), "no-store");
    assert.equal(cacheStatus(response).fwd, "miss");
    assert.equal(JSON.parse(new TextDecoder().decode(bytes)).code, "not_cached");
  });

  await t.step("no-store neither reads nor writes", async () => {
    for (let i = 0; i < 2; i++) {
      const { response } = await predict({ "Cache-Control": "no-store" });
      assert.equal(cacheStatus(response).fwd, "bypass");
      assert.equal(cacheStatus(response).stored, undefined);
      assert.deepEqual(stages(response), ["hash", "decode", "infer", "render", "encode"]);
    }
    await server.settled();
    assert.equal(await server.inferences(), 2);
    assert.equal((await get(address)).response.status, 404);
  });

  await t.step("the response to a miss says where it came from", async () => {
    const { response } = await predict({});
    const { fwd, stored, detail, key } = cacheStatus(response);
    assert.deepEqual({ fwd, stored, detail }, { fwd: "miss", stored: true, detail: "inference" });
    assert.ok(String(key).includes(digest(image)), `${key}`);
    assert.deepEqual(stages(response), ["hash", "cache", "decode", "infer", "render", "encode"]);
    assert.equal(response.headers.get("Cache-Control"), "no-store");
    assert.match(response.headers.get("ETag")!, /^"[0-9a-f]{32}-json"$/);
    assert.match(response.headers.get("Age")!, /^\d+$/);
  });

  await t.step("GET /cutouts/… returns the same file, which every cache may keep", async () => {
    const { response, bytes } = await get(address);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("Content-Type"), "image/png");
    assert.equal(response.headers.get("Content-Length"), `${bytes.length}`);
    assert.equal(
      response.headers.get("Cache-Control"),
      "public, max-age=2592000, s-maxage=2592000, immutable",
    );
    assert.equal(cacheStatus(response).hit, true);
    assert.equal(cacheStatus(response).detail, "memory");
    assert.deepEqual(stages(response), ["cache"]);
    etag = response.headers.get("ETag")!;
    assert.equal(etag, `"${digest(bytes).slice(0, 32)}"`);
    assert.deepEqual((await predict({})).file, bytes);
    assert.equal((await get(address.toUpperCase().replace("CUTOUTS", "cutouts"))).response.status, 200);
  });

  await t.step("a matching If-None-Match gets 304", async () => {
    for (const condition of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const { response, bytes } = await get(address, { "If-None-Match": condition });
      assert.equal(response.status, 304, condition);
      assert.equal(bytes.length, 0);
      assert.equal(response.headers.get("ETag"), etag);
      assert.match(response.headers.get("Cache-Control")!, /immutable/);
    }
    assert.equal((await get(address, { "If-None-Match": '"other"' })).response.status, 200);
  });

  await t.step("HEAD responds like GET, without the file", async () => {
    const { response, bytes } = await get(address, {}, "HEAD");
    const full = await get(address);
    assert.equal(response.status, 200);
    assert.equal(bytes.length, 0);
    for (const name of ["Content-Length", "Content-Type", "ETag", "Cache-Control"]) {
      assert.equal(response.headers.get(name), full.response.headers.get(name), name);
    }
    assert.equal((await get(address, { "If-None-Match": etag }, "HEAD")).response.status, 304);
    assert.equal((await get(`/cutouts/${"0".repeat(64)}`, {}, "HEAD")).response.status, 404);
  });

  await t.step("other renderings of a known image need no inference, and say so", async () => {
    const before = await server.inferences();
    const renderings = [{ format: "webp" }, { background: "red" }, { size: "20x" }, { crop: true }];
    for (const options of renderings) {
      const query = new URLSearchParams(Object.entries(options).map(([name, value]) => [name, `${value}`]));
      const body = JSON.stringify({ file_path: "a.png", img_base64: image.toBase64(), options });
      const response = await server.fetch("/predict", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
      });
      await response.arrayBuffer();
      assert.equal(cacheStatus(response).detail, "mask");
      assert.deepEqual(stages(response), ["hash", "cache", "decode", "render", "encode"]);
      const { response: cached } = await get(`${address}?${query}`);
      assert.equal(cached.status, 200);
      assert.notEqual(cached.headers.get("ETag"), etag);
    }
    assert.equal(await server.inferences(), before);
  });

  await t.step("no-cache makes the cutout again, and for GET reads the durable tier", async () => {
    await server.settled();
    const before = await server.inferences();
    const { response } = await predict({ "Cache-Control": "no-cache" });
    assert.equal(cacheStatus(response).fwd, "request");
    assert.equal(cacheStatus(response).stored, true);
    assert.equal(await server.inferences(), before + 1);
    await server.settled();
    assert.equal(cacheStatus((await get(address, { "Cache-Control": "no-cache" })).response).detail, "sqlite");
    assert.equal((await get(address, { "Cache-Control": "no-store" })).response.status, 404);
  });

  await t.step("invalid paths, options and methods have their error codes", async () => {
    const cases: [path: string, status: number, code: string, method?: string][] = [
      ["/cutouts/abc", 400, "invalid_digest"],
      [`${address}?format=bmp`, 422, "invalid_options"],
      [`${address}?colour=red`, 422, "invalid_options"],
      [`${address}?model=nosuch`, 422, "unknown_model"],
      [address, 405, "method_not_allowed", "PUT"],
      ["/cache/abc", 400, "invalid_digest", "DELETE"],
      ["/cache?limit=many", 422, "invalid_limit"],
      ["/cache", 405, "method_not_allowed", "PUT"],
    ];
    for (const [path, status, code, method] of cases) {
      const { response, bytes } = await get(path, { "X-Api-Key": TOKEN }, method);
      assert.equal(response.status, status, path);
      assert.equal(JSON.parse(new TextDecoder().decode(bytes)).code, code);
    }
  });

  await t.step("GET /cache lists the contents, for clients with the token", async () => {
    for (const headers of [{}, { "X-Api-Key": `${TOKEN}0` }, { Authorization: "Bearer " }]) {
      const { response } = await get("/cache", headers as Record<string, string>);
      assert.equal(response.status, 401);
      assert.match(response.headers.get("WWW-Authenticate")!, /^Bearer/);
    }
    const { response, bytes } = await get("/cache?limit=3", { Authorization: `Bearer ${TOKEN}` });
    assert.equal(response.status, 200);
    const content = JSON.parse(new TextDecoder().decode(bytes));
    assert.equal(content.store, "memory+sqlite");
    // The mask, the cutout and its four renderings.
    assert.equal(content.tiers.sqlite.entries, 6);
    assert.ok(content.tiers.sqlite.bytes > 0 && content.tiers.memory.bytes > 0);
    assert.ok(
      content.tiers.memory.hits > 0 && content.tiers.memory.hit_ratio > 0 && content.tiers.memory.hit_ratio < 1,
    );
    assert.equal(content.tiers.sqlite.hits, 1);
    assert.equal(content.requests.masks, 4);
    assert.equal(content.newest.length, 3);
    assert.equal(content.newest[0].image, digest(image));
  });

  await t.step("DELETE /cache/{sha256} deletes everything made from an image, in every tier", async () => {
    assert.equal((await get(`/cache/${digest(image)}`, {}, "DELETE")).response.status, 401);
    const { bytes } = await get(`/cache/${digest(image)}`, { "X-Api-Key": TOKEN }, "DELETE");
    assert.equal(JSON.parse(new TextDecoder().decode(bytes)).deleted, 6);
    assert.equal((await get(address)).response.status, 404);
    assert.equal((await get(`${address}?format=webp`)).response.status, 404);
    const before = await server.inferences();
    assert.equal(cacheStatus((await predict({})).response).detail, "inference");
    assert.equal(await server.inferences(), before + 1, "the mask was deleted too");
  });

  await t.step("DELETE /cache deletes everything", async () => {
    await server.settled();
    assert.equal((await get("/cache", { "X-Api-Key": TOKEN }, "DELETE")).response.status, 200);
    assert.equal((await get(address)).response.status, 404);
    const content = JSON.parse(new TextDecoder().decode((await get("/cache", { "X-Api-Key": TOKEN })).bytes));
    assert.deepEqual([content.tiers.memory.entries, content.tiers.sqlite.entries], [0, 0]);
  });
});
