import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 1_000_000 };

/** Sends a form like Python's `requests.post(url, files={"file": …}, data={…})`. */
function post(server: TestServer, data: Record<string, string>, query = ""): Promise<Response> {
  const form = new FormData();
  form.set("file", new File([fixture("astronaut.jpg")], "astronaut.jpg"));
  for (const [name, value] of Object.entries(data)) form.set(name, value);
  return server.fetch(`/api/remove${query}`, { method: "POST", body: form });
}

Deno.test("rembg › the parameters have the same effect as in rembg", async (t) => {
  await using server = await TestServer.start();
  const pixels = async (response: Response) => {
    assert.deepEqual([response.status, response.headers.get("Content-Type")], [200, "image/png"]);
    return await decode(await response.bytes(), limits);
  };
  const plain = await pixels(await post(server, {}));
  const corner = [...plain.data.subarray(0, 4)];
  await t.step("no parameters: a cutout of the image's size", () => {
    assert.deepEqual([plain.width, plain.height], [512, 512]);
    assert.ok(corner[3] < 13, "the corner is background");
  });
  await t.step("om: only the mask", async () => {
    const mask = await pixels(await post(server, { om: "true" }));
    for (let i = 0; i < mask.data.length; i += 4096) assert.equal(mask.data[i], plain.data[i + 3]);
  });
  await t.step("ppm: hard edges, also from the query", async () => {
    for (const response of [await post(server, { ppm: "True".toLowerCase() }), await post(server, {}, "?ppm=1")]) {
      const { data } = await pixels(response);
      assert.ok(data.every((value, i) => i % 4 !== 3 || value === 0 || value === 255));
    }
  });
  await t.step("bgc: red, green, blue, alpha", async () => {
    assert.deepEqual([...(await pixels(await post(server, { bgc: "0, 255,0,255" }))).data.subarray(3, 4)], [255]);
    const [red, green, blue, alpha] = (await pixels(await post(server, { bgc: "0,255,0,128" }))).data;
    assert.ok(alpha >= 128 && alpha < 145 && green > red && green > blue);
  });
  await t.step("a, af, ab, ae: alpha matting, which the mask alone does not get", async () => {
    const matted = await pixels(await post(server, { a: "true" }));
    assert.notDeepEqual(matted.data, plain.data);
    const wider = await pixels(await post(server, { a: "true", af: "200", ab: "30", ae: "0" }));
    assert.notDeepEqual(wider.data, matted.data);
    const [mask, same] = [await post(server, { om: "true" }), await post(server, { om: "true", a: "true" })];
    assert.deepEqual(await same.bytes(), await mask.bytes());
  });
  await t.step("dc: other colours at the edges, the same alpha", async () => {
    const { data } = await pixels(await post(server, { dc: "true" }));
    let changed = 0;
    for (let i = 0; i < data.length; i += 4) {
      assert.equal(data[i + 3], plain.data[i + 3]);
      if (data[i] !== plain.data[i]) changed++;
    }
    assert.ok(changed > 100, `${changed} pixels`);
  });
  await t.step("model, and parameters without effect unless alpha matting is on", async () => {
    await (await post(server, { model: "u2netp", a: "false", af: "240", ab: "10", ae: "10", extras: "{}" })).bytes();
  });
  assert.equal(await server.inferences(), 1);
});

Deno.test("rembg › what rembg 2.0.86 answers is answered", async (t) => {
  await using server = await TestServer.quick();
  const photo = new File([fixture("astronaut.jpg")], "astronaut.jpg");
  const cases: [what: string, fields: [string, string | File][], path?: string][] = [
    ["empty values", ["model", "a", "af", "ab", "ae", "om", "ppm", "bgc", "extras"].map((name) => [name, ""])],
    ["unknown names", [["unheard_of", "1"]]],
    ["other ways to write numbers", [["af", "+240"], ["ab", "10.0"], ["ae", "1_000"], ["om", "False"], ["ppm", "OFF"]]],
    ["extras of other models", [["extras", '{"sam_prompt": []}']]],
    ["extras that are no JSON", [["extras", "none"]]],
    ["channels that Pillow clips", [["bgc", "0, 300, -5, 255"]]],
    ["model in the query", [], "/api/remove?model=u2net"],
    ["wrong values in the query", [], "/api/remove?af=many&a=1&om=perhaps&sort=up"],
    ["a repeated field", [["om", "perhaps"], ["om", "0"]]],
    ["two files", [["file", photo]]],
    ["a trailing slash", [], "/api/remove/"],
  ];
  for (const [what, fields, path = "/api/remove"] of cases) {
    await t.step(what, async () => {
      const form = new FormData();
      form.append("file", photo);
      for (const [name, value] of fields) form.append(name, value);
      const response = await fetch(server.url + path, { method: "POST", body: form });
      const detail = response.ok ? "" : await response.text();
      assert.deepEqual([response.status, response.headers.get("Content-Type")], [200, "image/png"], detail);
      await response.body?.cancel();
    });
  }
  await t.step("model in the query, if it is served", async () => {
    const response = await post(server, {}, "?model=u2netp-rank32");
    await response.body?.cancel();
    assert.equal(response.status, 200);
    assert.equal(await server.inferences(), 2);
  });
  await t.step("the address of old versions leads to the new one", async () => {
    const response = await server.fetch("/?url=http://a.example/cat.jpg&om=1", { redirect: "manual" });
    await response.body?.cancel();
    const location = response.headers.get("Location");
    assert.deepEqual([response.status, location], [308, "/api/remove?url=http://a.example/cat.jpg&om=1"]);
  });
});

Deno.test("rembg › unsupported parameters are refused by name, in FastAPI's error format", async (t) => {
  await using server = await TestServer.quick();
  const cases: [name: string, value: string][] = [
    ["vm", "1"],
    ["extras", '{"putalpha": true}'],
    ["bgc", "red"],
    ["bgc", "0,0"],
    ["om", "perhaps"],
    ["af", "300"],
  ];
  for (const [name, value] of cases) {
    await t.step(`${name}=${value}`, async () => {
      const response = await post(server, { [name]: value });
      assert.equal(response.status, 422);
      const { detail: [{ loc, msg }] } = await response.json();
      assert.ok(loc.join(" ").includes(name) || msg.includes(name), JSON.stringify({ loc, msg }));
    });
  }
  await t.step("no file", async () => {
    const response = await server.fetch("/api/remove", { method: "POST", body: new URLSearchParams({ om: "true" }) });
    assert.equal(response.status, 422);
    assert.deepEqual((await response.json()).detail[0], {
      loc: ["body", "file"],
      msg: "Field required",
      type: "missing",
    });
  });
  await t.step("an unknown model", async () => {
    const response = await post(server, { model: "isnet-anime" });
    assert.equal(response.status, 422);
    assert.match((await response.json()).detail, /"isnet-anime".*u2netp/);
  });
  await t.step("GET: without a url, and with one while fetching is off", async () => {
    const missing = await server.fetch("/api/remove");
    assert.deepEqual([missing.status, (await missing.json()).detail[0].loc], [422, ["query", "url"]]);
    const off = await server.fetch("/api/remove?url=http://a.example/cat.jpg");
    assert.equal(off.status, 403);
    assert.match((await off.json()).detail, /ALLOW_IMAGE_URLS/);
  });
  await t.step("another method: 405", async () => {
    const response = await server.fetch("/api/remove", { method: "DELETE" });
    assert.deepEqual([response.status, response.headers.get("Allow")], [405, "GET, HEAD, POST"]);
    await response.body?.cancel();
  });
  assert.equal(await server.inferences(), 0);
});
