import assert from "node:assert/strict";
import { discardUnread } from "../../src/http/unread_body.ts";

const CHUNK = 1000;

/**
 * A request whose body has this many chunks, and the number of chunks pulled so far. If it does not end, it stalls after
 * the last chunk.
 */
function sent(chunks: number, { ends = true, headers = {} }: { ends?: boolean; headers?: HeadersInit } = {}) {
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pulled === chunks) {
        if (ends) controller.close();
        // Like a client that stalls: the next chunk never arrives.
        return ends ? undefined : new Promise(() => {});
      }
      pulled++;
      controller.enqueue(new Uint8Array(CHUNK));
    },
  }, { highWaterMark: 0 });
  return { request: new Request("http://localhost/", { method: "POST", body, headers }), pulled: () => pulled };
}

const limits = { maxBytes: 10 * CHUNK, timeoutMs: 30_000 };

Deno.test("unread body › is discarded to its end, even if part of it was read before", async () => {
  assert.equal(await discardUnread(sent(7).request, limits), 7 * CHUNK);

  const { request, pulled } = sent(7);
  for await (const _ of request.body!.values({ preventCancel: true })) break;
  assert.equal(await discardUnread(request, limits), 6 * CHUNK);
  assert.equal(pulled(), 7);

  await request.body?.cancel();
  assert.equal(await discardUnread(request, limits), 0, "nothing was left");
  assert.equal(await discardUnread(new Request("http://localhost/"), limits), 0, "there was no body");
});

Deno.test("unread body › is discarded within its limits", async () => {
  const endless = sent(Infinity);
  assert.equal(await discardUnread(endless.request, limits), limits.maxBytes);
  assert.ok(endless.pulled() <= 11, `${endless.pulled()} chunks`);

  assert.equal(await discardUnread(sent(3, { ends: false }).request, limits), 3 * CHUNK, "of a body that stalls");
  assert.equal(await discardUnread(sent(3, { ends: false }).request, { ...limits, timeoutMs: 500 }), 3 * CHUNK);
});

Deno.test("unread body › is not read if the response saves the client the upload", async () => {
  for (const [name, value] of [["Expect", "100-continue"], ["Content-Length", `${limits.maxBytes + 1}`]]) {
    const { request, pulled } = sent(7, { headers: { [name]: value } });
    assert.equal(await discardUnread(request, limits), 0);
    assert.equal(pulled(), 0);
    await request.body!.cancel();
  }
});

Deno.test("unread body › is left to another reader, and given up if the client has disconnected", async () => {
  const { request } = sent(3);
  const reading = request.arrayBuffer();
  assert.equal(await discardUnread(request, limits), 0);
  assert.equal((await reading).byteLength, 3 * CHUNK);

  const body = new ReadableStream({ pull: (controller) => controller.error(new Error("connection reset")) });
  assert.equal(await discardUnread(new Request("http://localhost/", { method: "POST", body }), limits), 0);
});
