import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { fixture, paintImage, PHOTOGRAPHS, withOrientation } from "../support/images.ts";
import { compareMasks } from "../support/masks.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 25_000_000 };

Deno.test("predict › returns cutouts of photographs, and hits the second time", async (t) => {
  await using server = await TestServer.start();

  for (const name of PHOTOGRAPHS) {
    await t.step(`${name}: same size, alpha from the mask, then a hit`, async () => {
      const image = fixture(`${name}.jpg`);
      const miss = await server.cutout(`${name}.jpg`, image);
      assert.equal(miss.cacheStatus, "Cutcache; fwd=miss; stored; detail=inference");
      const cutout = await decode(miss.png, limits);
      const reference = await decode(fixture(`${name}.rembg-u2netp.mask.png`), limits);
      assert.deepEqual([cutout.width, cutout.height], [reference.width, reference.height]);
      const alpha = cutout.data.filter((_, i) => i % 4 === 3);
      const { meanDifference } = compareMasks(alpha, reference.data.filter((_, i) => i % 4 === 0));
      assert.ok(meanDifference <= 0.005, `${meanDifference}`);
      const hit = await server.cutout(`${name}.jpg`, image);
      assert.equal(hit.cacheStatus, "Cutcache; hit; detail=memory");
      assert.deepEqual(hit.png, miss.png);
    });
  }

  await t.step("each photograph was inferred once", async () => {
    assert.equal(await server.inferences(), PHOTOGRAPHS.length);
  });

  await t.step("a second name for the same bytes is a hit", async () => {
    const { cacheStatus } = await server.cutout("another name.jpg", fixture("rocket.jpg"));
    assert.match(cacheStatus, /hit/);
  });

  await t.step("another image under a known name is a miss", async () => {
    const { cacheStatus } = await server.cutout("rocket.jpg", await paintImage(40, 30, (x) => [x * 6, 90, 200]));
    assert.match(cacheStatus, /fwd=miss/);
  });

  await t.step("a data: prefix makes no difference", async () => {
    const body = { file_path: "a", img_base64: `data:image/jpeg;base64,${fixture("rocket.jpg").toBase64()}` };
    const response = await server.fetch("/predict", {
      method: "POST",
      headers: { "Content-Type": "application/json; charset=utf-8" },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("Cache-Status")!, /hit/);
    await response.body!.cancel();
  });

  await t.step("the cutout of a rotated photograph is upright", async () => {
    const { png } = await server.cutout("turned.jpg", withOrientation(fixture("coffee.jpg"), 6));
    const { width, height } = await decode(png, limits);
    assert.deepEqual([width, height], [400, 600]);
  });

  await t.step("a client that sends 30 MB gets a response, not a closed connection", async () => {
    for (const path of ["/predict", "/nothing/here"]) {
      const response = await server.fetch(path, { method: "POST", body: new Uint8Array(30_000_000) });
      await response.body!.cancel();
      assert.equal(response.status, path === "/predict" ? 413 : 404);
    }
  });

  await t.step("many simultaneous requests for one new image take one inference", async () => {
    const before = await server.inferences();
    const image = await paintImage(50, 50, (x, y) => [x * 5, y * 5, 128]);
    const cutouts = await Promise.all(Array.from({ length: 20 }, (_, i) => server.cutout(`${i}.png`, image)));
    assert.equal(await server.inferences() - before, 1);
    assert.ok(cutouts.some(({ cacheStatus }) => cacheStatus.includes("collapsed")));
    for (const { png } of cutouts) assert.deepEqual(png, cutouts[0].png);
  });
});

Deno.test("predict › reports the problem of invalid input, and serves the next request", async (t) => {
  await using server = await TestServer.quick({ MAX_BODY_BYTES: "300000", MAX_PIXELS: "400000" });
  const { worker_restarts } = (await server.health()).engine;
  const json = { "Content-Type": "application/json" };
  const good = (await paintImage(8, 8, (x) => [x * 30, 0, 0])).toBase64();
  const jpeg = fixture("rocket.jpg");
  const body = (value: unknown) => JSON.stringify(value);

  const cases: [name: string, init: RequestInit, status: number, code: string, message: RegExp][] = [
    ["invalid JSON", { body: "{", headers: json }, 422, "invalid_json", /not JSON.*file_path/],
    ["no body", { headers: json }, 422, "invalid_json", /not JSON/],
    ["an array", { body: "[]", headers: json }, 422, "invalid_request", /body: .*expected object/],
    ["no file_path", { body: body({ img_base64: good }), headers: json }, 422, "invalid_request", /file_path: /],
    ["no image", { body: body({ file_path: "a" }), headers: json }, 422, "invalid_request", /img_base64: /],
    [
      "a number as image",
      { body: body({ file_path: "a", img_base64: 1 }), headers: json },
      422,
      "invalid_request",
      /img_base64: /,
    ],
    [
      "an empty image",
      { body: body({ file_path: "a", img_base64: "" }), headers: json },
      422,
      "invalid_request",
      /img_base64: /,
    ],
    [
      "invalid base64",
      { body: body({ file_path: "a", img_base64: "%%%" }), headers: json },
      400,
      "invalid_base64",
      /base64/,
    ],
    [
      "text as image",
      { body: body({ file_path: "a", img_base64: btoa("a text") }), headers: json },
      400,
      "invalid_image",
      /not an image/,
    ],
    [
      "half an image",
      {
        body: body({ file_path: "a", img_base64: Uint8Array.fromBase64(good).slice(0, 60).toBase64() }),
        headers: json,
      },
      400,
      "invalid_image",
      /damaged/,
    ],
    [
      "another content type",
      { body: "a=b", headers: { "Content-Type": "text/plain" } },
      415,
      "unsupported_content_type",
      /text\/plain.*application\/json/,
    ],
    [
      "another image format",
      {
        body: body({
          file_path: "a",
          img_base64: btoa('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'),
        }),
        headers: json,
      },
      415,
      "unsupported_format",
      /SVG/,
    ],
    [
      "a body over the limit",
      { body: body({ file_path: "a", img_base64: "A".repeat(300_000) }), headers: json },
      413,
      "body_too_large",
      /300000/,
    ],
    [
      "a body over the limit without a declared length",
      {
        body: new Blob(["A".repeat(300_001)]).stream(),
        headers: json,
      },
      413,
      "body_too_large",
      /300000/,
    ],
    [
      "an image over the limit",
      {
        body: body({ file_path: "a", img_base64: (await paintImage(701, 600, () => [1, 2, 3])).toBase64() }),
        headers: json,
      },
      413,
      "image_too_large",
      /701×600 = 420600 pixels; at most 400000/,
    ],
  ];

  for (const [name, init, status, code, message] of cases) {
    await t.step(`${name}: ${status} ${code}`, async () => {
      const response = await server.fetch("/predict", { method: "POST", ...init });
      const body = await response.json();
      assert.equal(response.status, status, JSON.stringify(body));
      assert.deepEqual(Object.keys(body).sort(), ["error", "img_none_bg_base64", "status"]);
      assert.equal(body.status, "ng");
      assert.equal(body.img_none_bg_base64, null);
      assert.equal(body.error.code, code);
      assert.match(body.error.message, message);
    });
  }

  await t.step("GET /predict: 405 and the allowed method", async () => {
    const response = await server.fetch("/predict");
    assert.equal(response.status, 405);
    assert.equal(response.headers.get("Allow"), "POST");
    assert.equal((await response.json()).error.code, "method_not_allowed");
  });

  await t.step("an unknown path: 404 in JSON", async () => {
    const response = await server.fetch("/nothing/here");
    assert.equal(response.status, 404);
    assert.equal((await response.json()).code, "not_found");
  });

  await t.step("a valid image is served after all of these", async () => {
    assert.match((await server.cutout("rocket.jpg", jpeg)).cacheStatus, /fwd=miss/);
    assert.equal((await server.health()).engine.worker_restarts, worker_restarts, "no worker was replaced");
  });

  await t.step("the log has the names of images, but never their content", async () => {
    await server.logged(({ message }) => message.includes("rocket.jpg"));
    const log = JSON.stringify(server.logs);
    assert.ok(!log.includes(jpeg.subarray(0, 30).toBase64()));
  });
});

Deno.test("predict › with CACHE_KEY=file_path the name is the key", async () => {
  await using server = await TestServer.quick({ CACHE_KEY: "file_path" });
  const first = await server.cutout("one.png", await paintImage(20, 20, (x) => [x * 9, 0, 0]));
  const second = await server.cutout("one.png", await paintImage(30, 30, (x) => [0, x * 8, 0]));
  assert.match(second.cacheStatus, /hit/);
  assert.deepEqual(second.png, first.png);
  const other = await server.cutout("two.png", await paintImage(20, 20, (x) => [x * 9, 0, 0]));
  assert.match(other.cacheStatus, /fwd=miss/);
});
