import { Jimp } from "jimp";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fixture } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";

Deno.test("large results › the cutout of a 12-megapixel photograph is a Redis hit on every instance", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  let largest = 0;
  gateway.fault = async (request) => {
    largest = Math.max(largest, (await request.clone().arrayBuffer()).byteLength);
    return undefined;
  };
  await using one = await TestServer.quick(gateway.environment, { checked: false });
  await using other = await TestServer.quick(gateway.environment, { checked: false });
  const photograph = await Jimp.read(fixture("coffee.jpg").buffer);
  const image = new Uint8Array(await photograph.resize({ w: 4000, h: 3000 }).getBuffer("image/jpeg"));
  const made = await one.fetch("/cutouts", { method: "POST", body: image });
  const file = new Uint8Array(await made.arrayBuffer());
  assert.equal(made.status, 200);
  await one.settled();
  assert.ok(file.length > 1_000_000, `${file.length} bytes`);
  assert.ok(largest <= 1_000_000, `${largest} bytes in one request`);

  gateway.resetCounts();
  const started = performance.now();
  const address = `/cutouts/${createHash("sha256").update(image).digest("hex")}`;
  const found = await other.fetch(address);
  assert.equal(found.status, 200);
  assert.match(found.headers.get("Cache-Status")!, /hit; detail=redis/);
  assert.deepEqual(new Uint8Array(await found.arrayBuffer()), file);
  const elapsedMs = performance.now() - started;
  console.log(`${file.length} bytes: a Redis hit in ${elapsedMs.toFixed(0)} ms and ${gateway.requests} requests`);
  assert.equal(await other.inferences(), 0);
});
