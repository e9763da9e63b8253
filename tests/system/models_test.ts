import assert from "node:assert/strict";
import { fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const image = fixture("chelsea.jpg");

const send = async (server: TestServer, query = "") => {
  const response = await server.fetch(`/cutouts${query}`, { method: "POST", body: image });
  const bytes = await response.bytes();
  assert.equal(response.status, 200, new TextDecoder().decode(bytes));
  const [, source, key] = /detail=(\w+);.*key="([^"]+)"/.exec(response.headers.get("Cache-Status")!)!;
  return { source, version: key.split(":")[1], bytes };
};

Deno.test("models › a request can name u2netp-fast, whose results are cached separately", async () => {
  await using server = await TestServer.start();
  const first = await send(server);
  const fast = await send(server, "?model=u2netp-fast");
  assert.equal(fast.source, "inference");
  assert.notEqual(fast.version, first.version);
  assert.notDeepEqual(fast.bytes, first.bytes);
  for (const [query, before] of [["", first], ["?model=u2netp", first], ["?model=u2netp-fast", fast]] as const) {
    const again = await send(server, query);
    assert.deepEqual(again, { ...before, source: "memory" }, query);
  }
  assert.equal(await server.inferences(), 2);
  const unknown = await server.fetch("/cutouts?model=u3net", { method: "POST", body: image });
  assert.equal(unknown.status, 422);
  assert.match((await unknown.json()).detail, /"u3net".*u2netp, u2netp-fast, u2netp-rank32/);
});

Deno.test("models › MODEL sets the default model, and requests can still name the others that ship", async () => {
  await using server = await TestServer.start({ MODEL: "u2netp-fast" });
  const { name, models } = await (await server.fetch("/metadata")).json();
  assert.equal(name, "u2netp-fast");
  assert.deepEqual(models.map(({ name }: { name: string }) => name), ["u2netp-fast", "u2netp", "u2netp-rank32"]);
  const fast = await send(server);
  assert.equal(fast.version, models[0].version);
  assert.equal((await send(server, "?model=u2netp")).version, models[1].version);
  await assert.rejects(
    TestServer.start({ MODEL: "u2net" }),
    /the model u2net is not here: `deno task model pull u2net`/,
  );
});
