import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decode } from "../../src/image/decode.ts";
import { discImage, fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 1_000_000 };
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** The code of an error, which must also have a detailed message. */
async function codeOf(response: Response): Promise<string> {
  const { code, detail } = await response.json();
  assert.ok(detail.length > 5, detail);
  return code;
}

Deno.test("cutouts › every way to send an image returns the same file, with a single inference", async (t) => {
  await using server = await TestServer.quick();
  const image = fixture("coffee.jpg");
  const form = (fields: Record<string, string | File>) => {
    const data = new FormData();
    for (const [name, value] of Object.entries(fields)) data.set(name, value);
    return data;
  };
  const json = (fields: Record<string, string>) => JSON.stringify(fields);
  const ways: [name: string, body: BodyInit, contentType?: string][] = [
    ["the image itself", image, "image/jpeg"],
    ["the image itself, without a type", image],
    ["with the type that curl --data-binary sends", image, "application/x-www-form-urlencoded"],
    ["with the type that httpie sends", image, "application/json"],
    ["multipart", form({ file: new File([image], "Crème & Kaffee.jpg") })],
    ["JSON", json({ image_base64: image.toBase64() }), "application/json"],
    ["JSON with a data URL", json({ image_base64: `data:image/jpeg;base64,${image.toBase64()}` }), "application/json"],
    [
      "urlencoded",
      new URLSearchParams({ image_base64: image.toBase64() }).toString(),
      "application/x-www-form-urlencoded",
    ],
  ];
  const files = new Set<string>();
  for (const [name, body, contentType] of ways) {
    await t.step(name, async () => {
      const headers: Record<string, string> = contentType === undefined ? {} : { "Content-Type": contentType };
      const response = await server.fetch("/cutouts", { method: "POST", body, headers });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("Content-Type"), "image/png");
      assert.equal(response.headers.get("Location"), `/cutouts/${sha256(image)}`);
      const disposition = response.headers.get("Content-Disposition")!;
      if (name === "multipart") {
        assert.match(disposition, /^inline; filename="Cr.me & Kaffee\.png"; filename\*=UTF-8''Cr%C3%A8me/i);
      } else {
        assert.equal(disposition, "inline; filename=cutout.png");
      }
      const file = await response.bytes();
      files.add(sha256(file));
      const cached = await server.fetch(response.headers.get("Location")!);
      assert.equal(sha256(await cached.bytes()), sha256(file));
    });
  }
  assert.equal(files.size, 1);
  assert.equal(await server.inferences(), 1);
});

Deno.test("cutouts › options come from the query or the form, and the format also from Accept", async (t) => {
  await using server = await TestServer.quick();
  const image = await discImage(1);
  const post = (path: string, headers: Record<string, string> = {}) =>
    server.fetch(path, { method: "POST", body: image, headers });
  const cases: [name: string, response: Promise<Response>, type: string, location: string][] = [
    ["the query", post("/cutouts?format=webp&size=32x"), "image/webp", "?format=webp&size=32x"],
    ["Accept", post("/cutouts", { Accept: "image/webp" }), "image/webp", "?format=webp"],
    [
      "quality values in Accept",
      post("/cutouts", { Accept: "image/png;q=0.5, image/jpeg" }),
      "image/jpeg",
      "?format=jpeg",
    ],
    ["wildcards in Accept", post("/cutouts", { Accept: "text/html, image/*;q=0.1" }), "image/png", ""],
    ["format takes precedence over Accept", post("/cutouts?format=png", { Accept: "image/webp" }), "image/png", ""],
  ];
  for (const [name, pending, type, query] of cases) {
    await t.step(name, async () => {
      const response = await pending;
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("Content-Type"), type);
      assert.match(response.headers.get("Vary")!, /\bAccept\b/);
      const location = new URL(response.headers.get("Location")!, server.url);
      const [actual, expected] = [location.searchParams, new URLSearchParams(query)].map((query) => [...query].sort());
      assert.deepEqual(actual, expected);
      const file = await response.bytes();
      const cached = await server.fetch(`${location.pathname}${location.search}`);
      assert.deepEqual([cached.status, await cached.bytes()], [200, file]);
    });
  }
  await t.step("a form", async () => {
    const form = new FormData();
    form.set("file", new File([image], "disc.png"));
    form.set("size", "16x16");
    form.set("crop", "true");
    const response = await server.fetch("/cutouts", { method: "POST", body: form });
    const { width, height } = await decode(await response.bytes(), limits);
    assert.ok(Math.max(width, height) === 16);
    assert.match(response.headers.get("Content-Disposition")!, /filename=disc\.png/);
  });
  assert.equal(await server.inferences(), 1);
});

Deno.test("cutouts › refuses invalid requests with a code and an explanation", async (t) => {
  await using server = await TestServer.quick();
  const image = await discImage(1);
  const base64 = image.toBase64();
  const json = (fields: unknown) => ({ body: JSON.stringify(fields), type: "application/json" });
  const form = new FormData();
  form.set("file", "just text");
  const cases: [status: number, code: string, body: BodyInit, type?: string, path?: string, accept?: string][] = [
    [422, "no_image", ""],
    [422, "no_image", json({ size: "10x" }).body, "application/json"],
    [422, "several_images", json({ image_base64: base64, image_url: "http://a.example/" }).body, "application/json"],
    [422, "invalid_json", "{", "application/json"],
    [422, "invalid_request", "[]", "application/json"],
    [422, "invalid_request", json({ image_base64: base64, size: { width: 1 } }).body, "application/json"],
    [422, "invalid_request", form],
    [422, "invalid_form", "not a form", "multipart/form-data; boundary=x"],
    [422, "invalid_options", image, "image/png", "/cutouts?sise=10x"],
    [422, "invalid_options", image, "image/png", "/cutouts?size=huge"],
    [422, "invalid_request", json({ image_base64: base64, size: "9x" }).body, "application/json", "/cutouts?size=8x"],
    [422, "unknown_model", image, "image/png", "/cutouts?model=u3net"],
    [400, "invalid_base64", json({ image_base64: "!" }).body, "application/json"],
    [400, "invalid_image", new Uint8Array([0xff, 0xd8, 0xff, 0, 1, 2, 3]), "image/jpeg"],
    [403, "image_urls_off", json({ image_url: "http://a.example/" }).body, "application/json"],
    [406, "not_acceptable", image, "image/png", "/cutouts", "text/html"],
    [415, "unsupported_content_type", "some text", "text/plain"],
  ];
  for (const [status, code, body, type, path = "/cutouts", accept] of cases) {
    await t.step(`${status} ${code}`, async () => {
      const headers = { ...(type && { "Content-Type": type }), ...(accept && { Accept: accept }) };
      const response = await server.fetch(path, { method: "POST", body, headers });
      assert.deepEqual([response.status, await codeOf(response)], [status, code]);
    });
  }
  const put = await server.fetch("/cutouts", { method: "PUT", body: image });
  assert.deepEqual([put.status, put.headers.get("Allow"), await codeOf(put)], [
    405,
    "POST",
    "method_not_allowed",
  ]);
  assert.equal(await server.inferences(), 0);
});

Deno.test("cutouts › CACHE_KEY=file_path applies only to /predict", async () => {
  await using server = await TestServer.quick({ CACHE_KEY: "file_path" });
  const locations = await Promise.all([1, 2].map(async (seed) => {
    const form = new FormData();
    form.set("file", new File([await discImage(seed)], "same.png"));
    const response = await server.fetch("/cutouts", { method: "POST", body: form });
    await response.body?.cancel();
    return response.headers.get("Location");
  }));
  assert.notEqual(locations[0], locations[1]);
  assert.equal(await server.inferences(), 2);
});

Deno.test("cutouts › every API fetches images by URL if the server allows it", async (t) => {
  const image = fixture("coffee.jpg");
  const requested: string[] = [];
  await using host = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    requested.push(pathname);
    return pathname === "/coffee.jpg" ? new Response(image) : new Response("not found", { status: 404 });
  });
  const origin = `http://127.0.0.1:${host.addr.port}`;
  await using server = await TestServer.quick({ ALLOW_IMAGE_URLS: "true", IMAGE_URL_NETWORKS: "127.0.0.0/8" });
  const post = (path: string, fields: Record<string, string>, accept = "image/png") =>
    server.fetch(path, {
      method: "POST",
      body: JSON.stringify(fields),
      headers: { "Content-Type": "application/json", Accept: accept },
    });
  const url = `${origin}/coffee.jpg`;
  const files = new Set<string>();
  await t.step("POST /cutouts", async () => {
    const response = await post("/cutouts", { image_url: url });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("Content-Disposition"), "inline; filename=coffee.png");
    assert.equal(response.headers.get("Location"), `/cutouts/${sha256(image)}`);
    files.add(sha256(await response.bytes()));
  });
  await t.step("rembg's API", async () => {
    const response = await server.fetch(`/api/remove?url=${encodeURIComponent(url)}`);
    assert.equal(response.status, 200);
    files.add(sha256(await response.bytes()));
  });
  await t.step("remove.bg's API, with a background", async () => {
    const response = await post("/v1.0/removebg", { image_url: url, bg_image_url: url, size: "auto" });
    assert.deepEqual([response.status, response.headers.get("Content-Type")], [200, "image/jpeg"]);
    await response.body?.cancel();
  });
  await t.step("a missing image, and addresses that are not allowed", async () => {
    const missing = await post("/cutouts", { image_url: `${origin}/gone.jpg` });
    assert.deepEqual([missing.status, await codeOf(missing)], [502, "image_url_failed"]);
    const internal = await post("/cutouts", { image_url: "http://10.0.0.1/a.jpg" });
    assert.deepEqual([internal.status, await codeOf(internal)], [403, "image_url_refused"]);
    const removebg = await post("/v1.0/removebg", { image_url: "http://[::1]/a.jpg" });
    assert.deepEqual([removebg.status, (await removebg.json()).errors[0].code], [400, "failed_image_download"]);
  });
  assert.equal(files.size, 1);
  assert.equal(await server.inferences(), 1);
  assert.deepEqual(requested, ["/coffee.jpg", "/coffee.jpg", "/coffee.jpg", "/coffee.jpg", "/gone.jpg"]);
});

Deno.test("cutouts › puts the background picture of a form behind the subject", async () => {
  await using server = await TestServer.quick();
  const form = new FormData();
  form.set("file", new File([fixture("astronaut.jpg")], "astronaut.jpg"));
  form.set("background_image", new File([await discImage(7, 32)], "disc.png"));
  const response = await server.fetch("/cutouts", { method: "POST", body: form });
  assert.equal(response.status, 200);
  const file = await response.bytes();
  const { data } = await decode(file, limits);
  // The corner has the background colour of the picture.
  const corner = [...data.subarray(0, 4)];
  assert.ok([0, 40, 30, 255].every((value, i) => Math.abs(corner[i] - value) <= 2), `${corner}`);
  const cached = await server.fetch(response.headers.get("Location")!);
  assert.deepEqual([cached.status, await cached.bytes()], [200, file]);
});
