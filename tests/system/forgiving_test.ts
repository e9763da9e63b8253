import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

Deno.test("input › what other clients send is understood", async (t) => {
  await using server = await TestServer.quick();
  const image = await discImage(1);
  const form = (fields: Record<string, string | File>) => {
    const data = new FormData();
    for (const [name, value] of Object.entries(fields)) data.set(name, value);
    return data;
  };
  const photo = new File([image], "photo.png");
  const empty = new File([], "");
  const types: [what: string, path: string, body: BodyInit, headers: Record<string, string>, type: string][] = [
    ["format=jpg", "/cutouts?format=jpg", image, {}, "image/jpeg"],
    ["format=PNG", "/cutouts?format=PNG", image, { Accept: "image/webp" }, "image/png"],
    ["Accept in capitals", "/cutouts", image, { Accept: "IMAGE/WEBP" }, "image/webp"],
    ["size=1000 and margin=10", "/cutouts?size=1000&crop=1&margin=10", image, {}, "image/png"],
    ["the field image", "/cutouts", form({ image: photo }), {}, "image/png"],
    ["the field image_file", "/cutouts", form({ image_file: photo }), {}, "image/png"],
    [
      "fields that were not filled in",
      "/cutouts?margin=",
      form({ file: photo, image_url: "", background: "", background_image: empty }),
      {},
      "image/png",
    ],
    ["gzip", "/cutouts", gzipSync(image), { "Content-Encoding": "gzip" }, "image/png"],
    [
      "base64url in a DATA: URL",
      "/cutouts",
      JSON.stringify({ image_base64: `DATA:image/png;base64,${image.toBase64({ alphabet: "base64url" })}` }),
      { "Content-Type": "application/json" },
      "image/png",
    ],
  ];
  for (const [what, path, body, headers, type] of types) {
    await t.step(what, async () => {
      const response = await server.fetch(path, { method: "POST", body, headers });
      const problem = response.ok ? "" : await response.text();
      assert.deepEqual([response.status, response.headers.get("Content-Type")], [200, type], problem);
      await response.body?.cancel();
    });
  }
  assert.equal(await server.inferences(), 1);
});

Deno.test("input › what cannot be understood is refused, with what was probably meant", async (t) => {
  await using server = await TestServer.quick({ MAX_BODY_BYTES: "100000" });
  const image = await discImage(1);
  const cases: [
    code: string,
    detail: RegExp,
    path: string,
    body: BodyInit,
    headers?: Record<string, string>,
  ][] = [
    ["invalid_options", /there is no "backgrond", did you mean `background`\?/, "/cutouts?backgrond=white", image],
    ["invalid_options", /there is no "sharpen"; known are .*\bcrop\b.*\bmodel\b/, "/cutouts?sharpen=1", image],
    ["invalid_request", /size: is in the query more than once/, "/cutouts?size=8x&size=9x", image],
    ["unsupported_encoding", /"br"; send .* gzip or deflate/, "/cutouts", image, { "Content-Encoding": "br" }],
    ["incomplete_body", /not complete gzip data/, "/cutouts", image, { "Content-Encoding": "gzip" }],
    ["body_too_large", /100000/, "/cutouts", gzipSync(new Uint8Array(1_000_000)), { "Content-Encoding": "gzip" }],
    ["no_image", /empty/, "/cutouts", "", { "Content-Type": "image/png" }],
    ["no_image", /image_base64/, "/cutouts", '{"image_base64": ""}', { "Content-Type": "application/json" }],
  ];
  for (const [code, detail, path, body, headers = {}] of cases) {
    await t.step(`${code} ${path}`, async () => {
      const response = await server.fetch(path, { method: "POST", body, headers });
      const problem = await response.json();
      assert.equal(problem.code, code);
      assert.match(problem.detail, detail);
      if (code === "unsupported_encoding") assert.equal(response.headers.get("Accept-Encoding"), "gzip, deflate");
    });
  }
  await t.step("an empty file", async () => {
    const form = new FormData();
    form.set("file", new File([], "photo.png"));
    const response = await server.fetch("/cutouts", { method: "POST", body: form });
    assert.equal((await response.json()).code, "no_image");
  });
  await t.step("two files", async () => {
    const form = new FormData();
    for (const name of ["file", "image"]) form.set(name, new File([image], "photo.png"));
    const response = await server.fetch("/cutouts", { method: "POST", body: form });
    assert.equal((await response.json()).code, "several_images");
  });
  assert.equal(await server.inferences(), 0);
});
