import assert from "node:assert/strict";
import { BodyReader } from "../../src/http/body.ts";

/** A request whose body comes in these chunks, without a declared length. */
function streamed(...chunks: Uint8Array[]): Request {
  return new Request("http://localhost/", { method: "POST", body: ReadableStream.from(chunks) });
}

const bytes = (length: number) => new Uint8Array(length).map((_, i) => i);

Deno.test("body › arrives whole, with and without a declared length", async () => {
  const bodies = new BodyReader({ maxBytes: 1e6, maxPendingBytes: 1e6, timeoutMs: 30_000 });
  const whole = bytes(200_000);
  const chunks = [whole.subarray(0, 10), whole.subarray(10, 150_000), whole.subarray(150_000)];
  const declared = new Request("http://localhost/", {
    method: "POST",
    body: whole,
    headers: { "Content-Length": `${whole.length}` },
  });
  const lies = new Request("http://localhost/", { method: "POST", body: whole, headers: { "Content-Length": "7" } });
  const none = new Request("http://localhost/", { method: "POST" });
  const cases = [[streamed(...chunks), whole], [declared, whole], [lies, whole], [none, bytes(0)]] as const;
  for (const [request, expected] of cases) {
    using body = await bodies.read(request);
    assert.deepEqual(body.take(), expected);
  }
});

Deno.test("body › a body over the limit is refused, declared or not, and is not counted any more", async () => {
  const bodies = new BodyReader({ maxBytes: 1000, maxPendingBytes: 1e6, timeoutMs: 30_000 });
  const declared = new Request("http://localhost/", {
    method: "POST",
    body: bytes(1),
    headers: { "Content-Length": "1001" },
  });
  for (const request of [declared, streamed(bytes(600), bytes(401))]) {
    await assert.rejects(bodies.read(request), { status: 413, code: "body_too_large" });
    assert.equal(bodies.pendingBytes, 0);
  }
});

Deno.test("body › all bodies of running requests are bounded together", async () => {
  const bodies = new BodyReader({ maxBytes: 1000, maxPendingBytes: 1500, timeoutMs: 30_000 });
  const tooMuch = { status: 503, code: "too_much_pending", headers: { "Retry-After": "5" } };
  {
    using first = await bodies.read(streamed(bytes(900)));
    await assert.rejects(bodies.read(streamed(bytes(601))), tooMuch);
    assert.equal(bodies.pendingBytes, 900, "the refused one is not counted");
    first.take();
    assert.equal(bodies.pendingBytes, 900, "bytes count until the request ends, not until they are taken");
    {
      using _fetched = bodies.reserve(600);
      assert.equal(bodies.pendingBytes, 1500);
      assert.throws(() => bodies.reserve(1), tooMuch);
      assert.equal(bodies.pendingBytes, 1500);
    }
    assert.equal(bodies.pendingBytes, 900);
  }
  assert.equal(bodies.pendingBytes, 0);
  using _ = await bodies.read(streamed(bytes(1000)));
});

Deno.test("body › is handed over once", async () => {
  const bodies = new BodyReader({ maxBytes: 1000, maxPendingBytes: 1000, timeoutMs: 30_000 });
  using body = await bodies.read(streamed(bytes(3)));
  assert.deepEqual(body.take(), bytes(3));
  assert.throws(() => body.take(), /taken already/);
});

Deno.test("body › chunks that arrive after the deadline are not counted", async () => {
  const bodies = new BodyReader({ maxBytes: 1000, maxPendingBytes: 1000, timeoutMs: 20 });
  const sent = Promise.withResolvers<void>();
  const slow = ReadableStream.from((async function* () {
    yield bytes(10);
    await sent.promise;
    yield bytes(10);
  })());
  const request = new Request("http://localhost/", { method: "POST", body: slow });
  await assert.rejects(bodies.read(request), { status: 408, code: "body_timeout" });
  assert.equal(bodies.pendingBytes, 0);
  sent.resolve();
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(bodies.pendingBytes, 0);
});
