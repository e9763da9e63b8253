import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import { discImage, fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 1_000_000 };

/** Sends an image to `/predict` with more fields than the two that it must have. */
async function predict(server: TestServer, image: Uint8Array, more: Record<string, unknown>) {
  const response = await server.fetch("/predict", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ file_path: "a.png", img_base64: image.toBase64(), ...more }),
  });
  return { status: response.status, headers: response.headers, answer: await response.json() };
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
  ];
  for (const [options, width, height] of renderings) {
    await t.step(JSON.stringify(options), async () => {
      const { headers, answer } = await predict(server, photograph, { options });
      assert.match(headers.get("Cache-Status")!, /fwd=miss; stored; detail=mask/);
      const image = await decode(Uint8Array.fromBase64(answer.img_none_bg_base64), limits);
      assert.deepEqual([image.width, image.height], [width, height]);
      const again = await predict(server, photograph, { options });
      assert.match(again.headers.get("Cache-Status")!, /hit; detail=memory/);
      assert.equal(again.answer.img_none_bg_base64, answer.img_none_bg_base64);
    });
  }
  await t.step("crop: the rocket is a narrow part of its picture", async () => {
    const { answer } = await predict(server, photograph, { options: { crop: true, margin: "5px" } });
    const { width, height } = await decode(Uint8Array.fromBase64(answer.img_none_bg_base64), limits);
    assert.ok(width < 200 && height > 200, `${width}×${height}`);
  });
  assert.equal(await server.inferences(), 1);

  await t.step("a wrong option is named: 422", async () => {
    const { status, answer } = await predict(server, photograph, { options: { size: "huge" } });
    assert.equal(status, 422);
    assert.match(answer.error.message, /options\.size: "huge" is not a size/);
  });
  await t.step("an unknown model is named, and the known ones are listed: 422", async () => {
    const { status, answer } = await predict(server, photograph, { model: "u3net" });
    assert.equal(status, 422);
    assert.equal(answer.error.code, "unknown_model");
    assert.match(answer.error.message, /"u3net".*u2netp/);
  });
});

Deno.test("queue › the image that finds it full is answered 503 with Retry-After", async () => {
  await using server = await TestServer.start({ QUEUE_LIMIT: "1" });
  const images = await Promise.all(Array.from({ length: 12 }, (_, seed) => discImage(seed)));
  const answers = await Promise.all(images.map((image) => predict(server, image, {})));
  const refused = answers.filter(({ status }) => status === 503);
  assert.ok(refused.length > 0, "none was refused");
  for (const { headers, answer } of refused) {
    assert.match(headers.get("Retry-After")!, /^\d+$/);
    assert.equal(answer.error.code, "queue_full");
  }
  assert.equal(answers.filter(({ status }) => status === 200).length, images.length - refused.length);
});

Deno.test("queue › the image of a client that has gone is not inferred, decoded or not", async () => {
  // On one thread, so that the first takes long.
  await using server = await TestServer.start({ INFERENCE_THREADS: "1" });
  const [first, decoded, queued, last] = await Promise.all([1, 2, 3, 4].map((seed) => discImage(seed)));
  const gone = new AbortController();
  const leave = (body: Uint8Array<ArrayBuffer>) =>
    assert.rejects(server.fetch("/cutouts", { method: "POST", body, signal: gone.signal }));
  const engine = async () => (await server.health()).engine;

  const answers = [predict(server, first, {})];
  while ((await engine()).running < 1) { /* it is on its way */ }
  const left = [leave(decoded)];
  while ((await engine()).running < 2) { /* it is decoded while the first is inferred */ }
  left.push(leave(queued));
  while ((await engine()).waiting < 1) { /* it is on its way */ }
  gone.abort();
  await Promise.all(left);
  // Behind them, had they stayed.
  answers.push(predict(server, last, {}));
  for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
  await server.settled();
  assert.equal(await server.inferences(), answers.length);
});
