import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

/** Status and JSON of a probe; undefined where nobody listens any more. */
async function ask(server: TestServer, path: string): Promise<{ status: number; answer: unknown } | undefined> {
  try {
    const response = await fetch(server.url + path, { headers: { Connection: "close" } });
    return { status: response.status, answer: await response.json() };
  } catch {
    return undefined;
  }
}

const READY = { status: 200, answer: { ready: true } };
const STOPPING = { status: 503, answer: { ready: false, reason: "the server is stopping" } };

Deno.test("probes › a server is live at once, and ready when the model has run", async () => {
  // The slowest model, on one thread: its first run is not over before it is asked for.
  await using server = await TestServer.start({ INFERENCE_THREADS: "1" });
  assert.deepEqual(await ask(server, "/readyz"), {
    status: 503,
    answer: { ready: false, reason: "the model has not run yet" },
  });
  assert.deepEqual(await ask(server, "/livez"), { status: 200, answer: { live: true } });
  await server.ready();
  assert.deepEqual(await ask(server, "/readyz"), READY);
  assert.equal(await server.inferences(), 0, "no request was needed for that");
  const probes = server.logs.filter(({ message }) => /readyz|livez/.test(message));
  assert.deepEqual(probes, [], "they are for LOG_LEVEL=debug");
});

Deno.test("probes › a server that stops says so while it still takes requests", async () => {
  await using server = await TestServer.quick({ DRAIN_DELAY_SECONDS: "5" });
  await server.ready();
  const stopped = server.stop();
  await server.logged(({ message }) => message.startsWith("SIGTERM"));
  assert.deepEqual(await ask(server, "/readyz"), STOPPING);
  assert.equal((await ask(server, "/livez"))?.status, 200);
  assert.match((await server.cutout("a.png", await discImage(1))).cacheStatus, /fwd=miss; stored/);
  assert.equal((await stopped).code, 0);
  assert.equal(await ask(server, "/readyz"), undefined);
});

Deno.test("probes › without a delay, a server that stops is never said to be ready, and answers what it took", async () => {
  await using server = await TestServer.quick();
  await server.ready();
  const answering = server.cutout("a.png", await discImage(1));
  await server.logged(({ message }) => message === "START POST /predict");
  const stopped = server.stop();
  await server.logged(({ message }) => message.startsWith("SIGTERM"));
  for (let i = 0; i < 20; i++) {
    const probe = await ask(server, "/readyz");
    assert.notEqual(probe?.status, 200);
  }
  assert.match((await answering).cacheStatus, /fwd=miss; stored/);
  assert.equal((await stopped).code, 0);
});
