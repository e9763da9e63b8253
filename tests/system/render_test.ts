import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { discImage, fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 1_000_000 };

/** Sends an image to `/predict` with additional fields. */
async function predict(server: TestServer, image: Uint8Array, fields: Record<string, unknown>) {
  const response = await server.fetch("/predict", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ file_path: "a.png", img_base64: image.toBase64(), ...fields }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

Deno.test("render › another rendering of a known image needs no inference, and says so", async (t) => {
  await using server = await TestServer.quick();
  const photograph = fixture("rocket.jpg");
  await server.cutout("rocket.jpg", photograph);
  const renderings: [options: Record<string, unknown>, width: number, height: number][] = [
    [{ format: "webp", quality: 80 }, 640, 427],
    [{ format: "jpeg", background: "rebeccapurple" }, 640, 427],
    [{ size: "100x100" }, 100, 67],
    [{ channels: "alpha" }, 640, 427],
    [{ refine: true, feather: 1 }, 640, 427],
    [{ matting: "hair", shadow: true }, 640, 427],
  ];
  for (const [options, width, height] of renderings) {
    await t.step(JSON.stringify(options), async () => {
      const { headers, body } = await predict(server, photograph, { options });
      assert.match(headers.get("Cache-Status")!, /fwd=miss; stored; detail=mask/);
      const image = await decode(Uint8Array.fromBase64(body.img_none_bg_base64), limits);
      assert.deepEqual([image.width, image.height], [width, height]);
      const again = await predict(server, photograph, { options });
      assert.match(again.headers.get("Cache-Status")!, /hit; detail=memory/);
      assert.equal(again.body.img_none_bg_base64, body.img_none_bg_base64);
    });
  }
  await t.step("crop: the rocket is narrow", async () => {
    const { body } = await predict(server, photograph, { options: { crop: true, margin: "5px" } });
    const { width, height } = await decode(Uint8Array.fromBase64(body.img_none_bg_base64), limits);
    assert.ok(width < 200 && height > 200, `${width}×${height}`);
  });
  assert.equal(await server.inferences(), 1);

  await t.step("an invalid option: 422 with its name", async () => {
    const { status, body } = await predict(server, photograph, { options: { size: "huge" } });
    assert.equal(status, 422);
    assert.match(body.error.message, /options\.size: "huge" is not a size/);
  });
  await t.step("an unknown model: 422 with its name and the available models", async () => {
    const { status, body } = await predict(server, photograph, { model: "u3net" });
    assert.equal(status, 422);
    assert.equal(body.error.code, "unknown_model");
    assert.match(body.error.message, /"u3net".*u2netp/);
  });
});

Deno.test("queue › images that do not fit in the queue get 503 with Retry-After", async () => {
  await using server = await TestServer.start({ QUEUE_LIMIT: "1" });
  const images = await Promise.all(Array.from({ length: 12 }, (_, seed) => discImage(seed)));
  const responses = await Promise.all(images.map((image) => predict(server, image, {})));
  const refused = responses.filter(({ status }) => status === 503);
  assert.ok(refused.length > 0, "no image was refused");
  for (const { headers, body } of refused) {
    assert.match(headers.get("Retry-After")!, /^\d+$/);
    assert.equal(body.error.code, "queue_full");
  }
  assert.equal(responses.filter(({ status }) => status === 200).length, images.length - refused.length);
});

Deno.test("queue › the image of a client that disconnected is not inferred, whether it was decoded or queued", async () => {
  // On one thread, so that the first image takes long.
  await using server = await TestServer.start({ INFERENCE_THREADS: "1" });
  const [first, decoded, queued, last] = await Promise.all([1, 2, 3, 4].map((seed) => discImage(seed)));
  const disconnect = new AbortController();
  const leave = (body: Uint8Array<ArrayBuffer>) =>
    assert.rejects(server.fetch("/cutouts", { method: "POST", body, signal: disconnect.signal }));
  const engine = async () => (await server.health()).engine;

  const responses = [predict(server, first, {})];
  while ((await engine()).running < 1) { /* until it arrives */ }
  const aborted = [leave(decoded)];
  while ((await engine()).running < 2) { /* until it is decoded, while the first is inferred */ }
  aborted.push(leave(queued));
  while ((await engine()).waiting < 1) { /* until it arrives */ }
  disconnect.abort();
  await Promise.all(aborted);
  // The others would have been ahead of it.
  responses.push(predict(server, last, {}));
  for (const { status } of await Promise.all(responses)) assert.equal(status, 200);
  await server.settled();
  assert.equal(await server.inferences(), responses.length);
});
