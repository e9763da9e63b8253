import assert from "node:assert/strict";
import { discardUnread } from "../../src/http/unread_body.ts";

const PIECE = 1000;

/** A request whose body comes in so many pieces, and how many have been asked for; without an end where there is none. */
function sent(pieces: number, { ends = true, headers = {} }: { ends?: boolean; headers?: HeadersInit } = {}) {
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (pulled === pieces) {
        if (ends) controller.close();
        // As a sender that has stalled: what was asked for never comes.
        return ends ? undefined : new Promise(() => {});
      }
      pulled++;
      controller.enqueue(new Uint8Array(PIECE));
    },
  }, { highWaterMark: 0 });
  return { request: new Request("http://localhost/", { method: "POST", body, headers }), pulled: () => pulled };
}

const limits = { maxBytes: 10 * PIECE, timeoutMs: 30_000 };

Deno.test("unread body › is discarded to its end, whatever was read of it before", async () => {
  assert.equal(await discardUnread(sent(7).request, limits), 7 * PIECE);

  const { request, pulled } = sent(7);
  for await (const _ of request.body!.values({ preventCancel: true })) break;
  assert.equal(await discardUnread(request, limits), 6 * PIECE);
  assert.equal(pulled(), 7);

  await request.body?.cancel();
  assert.equal(await discardUnread(request, limits), 0, "nothing is left");
  assert.equal(await discardUnread(new Request("http://localhost/"), limits), 0, "there was none");
});

Deno.test("unread body › is discarded within its limits", async () => {
  const endless = sent(Infinity);
  assert.equal(await discardUnread(endless.request, limits), limits.maxBytes);
  assert.ok(endless.pulled() <= 11, `${endless.pulled()} pieces`);

  assert.equal(await discardUnread(sent(3, { ends: false }).request, limits), 3 * PIECE, "of one that stalls");
  assert.equal(await discardUnread(sent(3, { ends: false }).request, { ...limits, timeoutMs: 500 }), 3 * PIECE);
});

Deno.test("unread body › is not asked for where the answer spares its sender the upload", async () => {
  for (const [name, value] of [["Expect", "100-continue"], ["Content-Length", `${limits.maxBytes + 1}`]]) {
    const { request, pulled } = sent(7, { headers: { [name]: value } });
    assert.equal(await discardUnread(request, limits), 0);
    assert.equal(pulled(), 0);
    await request.body!.cancel();
  }
});

Deno.test("unread body › is left to whoever reads it, and to nobody where its sender has gone", async () => {
  const { request } = sent(3);
  const reading = request.arrayBuffer();
  assert.equal(await discardUnread(request, limits), 0);
  assert.equal((await reading).byteLength, 3 * PIECE);

  const body = new ReadableStream({ pull: (controller) => controller.error(new Error("connection reset")) });
  assert.equal(await discardUnread(new Request("http://localhost/", { method: "POST", body }), limits), 0);
});
