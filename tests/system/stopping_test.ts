import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { discImage } from "../support/images.ts";
import { RedisServer } from "../support/redis.ts";
import { seeded } from "../support/seeded.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";

const hex = (number: number) => number.toString(16).padStart(6, "0");

/** The query for a cutout on this background colour. */
const onColour = (number: number) => `?background=%23${hex(number)}`;

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

for (
  const { signal, images, colours } of [
    { signal: "SIGTERM", images: 10, colours: 5 },
    { signal: "SIGINT", images: 2, colours: 4 },
  ] as const
) {
  const requests = images * colours;
  Deno.test(`${signal} › with ${requests} requests in flight, each gets its response and each write is stored`, async () => {
    await using redis = await RedisServer.start();
    await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
    await using server = await TestServer.quick({
      ...gateway.environment,
      DRAIN_SECONDS: "120",
      // START lines of /cutouts are at this level.
      LOG_LEVEL: "debug",
    }, { checked: false });
    const signalled = Promise.withResolvers<void>();
    let calls = 0;
    gateway.fault = async (request) => {
      // However fast the server is, a request waits for its cache when the signal arrives, and so does every write.
      if (calls++ === 0 || new URL(request.url).pathname === "/pipeline") await signalled.promise;
      return undefined;
    };
    const files = await Promise.all(Array.from({ length: images }, (_, seed) => discImage(500 + seed)));
    const responses = files.flatMap((body) =>
      Array.from({ length: colours }, async (_, colour) => {
        const response = await fetch(`${server.url}/cutouts${onColour(colour)}`, { method: "POST", body });
        return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
      })
    );
    const started = () => server.logs.filter(({ message }) => message.startsWith("START POST")).length;
    while (started() < requests) await delay(5);

    const stopped = server.stop(signal);
    await server.logged(({ message }) => message.startsWith(signal));
    signalled.resolve();

    assert.equal((await stopped).code, 0);
    for (const { status, bytes } of await Promise.all(responses)) {
      assert.equal(status, 200);
      assert.equal(new TextDecoder("latin1").decode(bytes.subarray(-8, -4)), "IEND");
    }
    const client = await redis.client();
    const keys = await client.keys("cutcache:*");
    const masks = await Promise.all(keys.filter((key) => /:mask:/.test(key)).map((key) => client.getRange(key, 0, 5)));
    await client.close();
    const count = (prefix: string) => keys.filter((key) => key.startsWith(`cutcache:${prefix}:`)).length;
    assert.deepEqual(
      { masks: count("mask"), cutouts: count("cutout"), leases: masks.filter((start) => start === "LEASE ").length },
      { masks: images, cutouts: requests, leases: 0 },
    );
  });
}

Deno.test("SIGINT › if SIGKILL follows 5 s later, as on Deno Deploy, and the queue takes longer, no accepted write is lost", async () => {
  const COLOURS = 12;
  const QUEUED = 15;
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await TestServer.quick({
    ...gateway.environment,
    LOG_LEVEL: "debug",
    DRAIN_SECONDS: "4",
  }, { checked: false, command: [Deno.execPath(), "run", "-A", "src/main.ts"] });
  const { promise: writesReleased, resolve: releaseWrites } = Promise.withResolvers<void>();
  gateway.fault = async (request) => {
    if (new URL(request.url).pathname === "/pipeline") await writesReleased;
    return undefined;
  };
  const body = await discImage(700);
  for (let colour = 0; colour < COLOURS; colour++) {
    const response = await fetch(`${server.url}/cutouts${onColour(colour)}`, { method: "POST", body });
    await response.body?.cancel();
    assert.equal(response.status, 200);
  }
  const queued = Promise.allSettled(Array.from({ length: QUEUED }, async (_, seed) => {
    const response = await fetch(`${server.url}/cutouts`, { method: "POST", body: await discImage(800 + seed) });
    await response.body?.cancel();
  }));
  const started = () => server.logs.filter(({ message }) => message.startsWith("START POST")).length;
  while (started() < COLOURS + QUEUED) await delay(5);

  const killing = setTimeout(() => {
    try {
      Deno.kill(server.pid, "SIGKILL");
    } catch { /* has already exited */ }
  }, 5000);
  const stopped = server.stop("SIGINT");
  // After the signal, so that these writes are pending when it arrives.
  releaseWrites();
  await stopped;
  clearTimeout(killing);
  await queued;

  const client = await redis.client();
  const keys = await client.keys(`cutcache:cutout:*:${digest(body)}:*`);
  await client.close();
  assert.equal(keys.length, COLOURS);
});

Deno.test("SIGKILL › at 20 random moments, the caches still serve only complete values", async () => {
  const ROUNDS = 20;
  const WARM = 6;
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const cacheDir = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  try {
    const image = await discImage(600, 256);
    const address = `/cutouts/${digest(image)}`;
    const stores = [{ CACHE_DIR: cacheDir }, gateway.environment];
    // The expected values, from a server that is not killed.
    await using reference = await TestServer.quick({ CACHE_STORE: "memory", LOG_LEVEL: "warning" }, { checked: false });
    const post = async (server: TestServer, colour: number) => {
      const response = await fetch(`${server.url}/cutouts${onColour(colour)}`, { method: "POST", body: image });
      const bytes = new Uint8Array(await response.arrayBuffer());
      assert.equal(response.status, 200);
      return bytes;
    };
    await post(reference, 0);
    const values = { complete: 0, missing: 0 };

    const random = seeded(20);
    /** Kills a server while it renders and writes. Resolves to the colours that were requested. */
    const round = async (settings: Record<string, string>, first: number, known: number[], waitMs: number) => {
      const server = await TestServer.quick({ ...settings, LOG_LEVEL: "warning" }, { checked: false });
      for (const colour of known) {
        const response = await fetch(server.url + address + onColour(colour));
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (response.status === 404) values.missing++;
        else {
          assert.equal(response.status, 200);
          assert.deepEqual(bytes, await post(reference, colour), `colour ${hex(colour)}`);
          values.complete++;
        }
      }
      // The first round needs an inference.
      await post(server, 0);
      const colours: number[] = [];
      let rendered = 0;
      const sender = async () => {
        for (;;) {
          const colour = first + colours.length;
          colours.push(colour);
          await post(server, colour);
          rendered++;
        }
      };
      const senders = Promise.allSettled([sender(), sender(), sender()]);
      // A server is slow at first, and without writes in progress there would be nothing to damage.
      while (rendered < WARM) await delay(1);
      await delay(waitMs);
      await server.kill();
      await senders;
      return colours;
    };

    const waits = Array.from({ length: ROUNDS }, () => Math.floor(random() * 100));
    await Promise.all(stores.map(async (settings, store) => {
      let known: number[] = [];
      for (let i = store; i < ROUNDS; i += stores.length) {
        const sent = await round(settings, (i + 1) * 10_000, known, waits[i]);
        // The last ones matter, since their writes were in progress.
        known = sent.slice(-12);
      }
    }));
    assert.ok(
      values.complete > 2 * ROUNDS,
      `only ${values.complete} values were served, ${values.missing} were missing`,
    );
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});
