import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

Deno.test("jobs › reports the place of an image in line, then its inference", async () => {
  // The slowest model, on one thread, so that each state lasts for many requests, even on a busy machine.
  await using server = await TestServer.start({ INFERENCE_THREADS: "1" });
  const send = async (image: Uint8Array<ArrayBuffer>, id: string) => {
    const response = await server.fetch("/cutouts", { method: "POST", body: image, headers: { "X-Request-Id": id } });
    assert.equal(response.status, 200);
    await response.body?.cancel();
  };
  const job = async (id: string) => {
    // Without a pause, these requests would take time from the images.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const response = await server.fetch(`/jobs/${id}`);
    assert.equal(response.headers.get("Cache-Control"), "no-store");
    return await response.json() as { state: string; position?: number };
  };
  const images = await Promise.all([1, 2, 3].map((seed) => discImage(seed)));
  const ids = images.map(() => crypto.randomUUID());
  assert.deepEqual(await job(ids[0]), { state: "unknown" });

  const sent: Promise<void>[] = [];
  for (const [i, image] of images.entries()) {
    sent.push(send(image, ids[i]));
    while ((await job(ids[i])).state === "unknown") { /* until it arrives */ }
  }
  // A request that joins another has the same progress. A request whose id could be guessed has none.
  const joiner = crypto.randomUUID();
  sent.push(send(images[2], joiner), send(images[2], "abc123"));
  while ((await job(joiner)).state === "unknown") { /* until it arrives */ }

  const responses = Promise.all(sent);
  const seen: string[] = [];
  for (;;) {
    const last = await job(ids[2]);
    if (last.state === "unknown") break;
    const joined = await job(joiner);
    // It may have progressed between the two requests.
    if (isDeepStrictEqual(await job(ids[2]), last)) assert.deepEqual(joined, last);
    assert.equal((await job("abc123")).state, "unknown");
    // Before the engine accepts it, it is briefly in no line.
    if (seen.length === 0 && last.state === "waiting" && last.position === undefined) continue;
    const now = `${last.state} ${last.position ?? ""}`.trim();
    if (now !== seen.at(-1)) seen.push(now);
  }
  await responses;
  // At most one of the two before it is being inferred.
  assert.match(seen.join(", "), /^(waiting 3, )?waiting 2, waiting 1, inferring(, rendering)?$/);
  assert.equal(await server.inferences(), 3);

  await send(images[0], ids[0]);
  assert.deepEqual(await job(ids[0]), { state: "unknown" });
});
