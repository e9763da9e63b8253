import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

/** The status and JSON of a probe; undefined if the server no longer listens. */
async function probe(server: TestServer, path: string): Promise<{ status: number; body: unknown } | undefined> {
  try {
    const response = await fetch(server.url + path, { headers: { Connection: "close" } });
    return { status: response.status, body: await response.json() };
  } catch {
    return undefined;
  }
}

const READY = { status: 200, body: { ready: true } };
const STOPPING = { status: 503, body: { ready: false, reason: "the server is stopping" } };

Deno.test("probes › a server is live at once, and ready after the model has run", async () => {
  // The slowest model, on one thread, so that its first run is still in progress when the probe arrives.
  await using server = await TestServer.start({ INFERENCE_THREADS: "1" });
  assert.deepEqual(await probe(server, "/readyz"), {
    status: 503,
    body: { ready: false, reason: "the model has not run yet" },
  });
  assert.deepEqual(await probe(server, "/livez"), { status: 200, body: { live: true } });
  await server.ready();
  assert.deepEqual(await probe(server, "/readyz"), READY);
  assert.equal(await server.inferences(), 0, "the server was ready without a request");
  const probes = server.logs.filter(({ message }) => /readyz|livez/.test(message));
  assert.deepEqual(probes, [], "probes are logged at level debug");
});

Deno.test("probes › a stopping server says so while it still accepts requests", async () => {
  await using server = await TestServer.quick({ DRAIN_DELAY_SECONDS: "5" });
  await server.ready();
  const stopped = server.stop();
  await server.logged(({ message }) => message.startsWith("SIGTERM"));
  assert.deepEqual(await probe(server, "/readyz"), STOPPING);
  assert.equal((await probe(server, "/livez"))?.status, 200);
  assert.match((await server.cutout("a.png", await discImage(1))).cacheStatus, /fwd=miss; stored/);
  assert.equal((await stopped).code, 0);
  assert.equal(await probe(server, "/readyz"), undefined);
});

Deno.test("probes › without a delay, a stopping server is never ready, and completes the requests it accepted", async () => {
  await using server = await TestServer.quick();
  await server.ready();
  const pending = server.cutout("a.png", await discImage(1));
  await server.logged(({ message }) => message === "START POST /predict");
  const stopped = server.stop();
  await server.logged(({ message }) => message.startsWith("SIGTERM"));
  for (let i = 0; i < 20; i++) {
    const readiness = await probe(server, "/readyz");
    assert.notEqual(readiness?.status, 200);
  }
  assert.match((await pending).cacheStatus, /fwd=miss; stored/);
  assert.equal((await stopped).code, 0);
});
