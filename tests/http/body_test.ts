import assert from "node:assert/strict";
import { BodyReader } from "../../src/http/body.ts";

/** A request whose body comes in these pieces, without a declared length. */
function streamed(...pieces: Uint8Array[]): Request {
  return new Request("http://localhost/", { method: "POST", body: ReadableStream.from(pieces) });
}

const bytes = (length: number) => new Uint8Array(length).map((_, i) => i);

Deno.test("body › comes whole, with and without a declared length", async () => {
  const intake = new BodyReader({ maxBytes: 1e6, maxPendingBytes: 1e6, timeoutMs: 30_000 });
  const whole = bytes(200_000);
  const pieces = [whole.subarray(0, 10), whole.subarray(10, 150_000), whole.subarray(150_000)];
  const declared = new Request("http://localhost/", {
    method: "POST",
    body: whole,
    headers: { "Content-Length": `${whole.length}` },
  });
  const lies = new Request("http://localhost/", { method: "POST", body: whole, headers: { "Content-Length": "7" } });
  const none = new Request("http://localhost/", { method: "POST" });
  for (
    const [request, expected] of [[streamed(...pieces), whole], [declared, whole], [lies, whole], [none, bytes(0)]]
  ) {
    const body = await intake.take(request as Request, (body) => body, (body) => Promise.resolve(body));
    assert.deepEqual(body, expected);
  }
});

Deno.test("body › one that is too large is refused, declared or not, and counts no longer", async () => {
  const intake = new BodyReader({ maxBytes: 1000, maxPendingBytes: 1e6, timeoutMs: 30_000 });
  const declared = new Request("http://localhost/", {
    method: "POST",
    body: bytes(1),
    headers: { "Content-Length": "1001" },
  });
  for (const request of [declared, streamed(bytes(600), bytes(401))]) {
    await assert.rejects(intake.take(request, () => {}, () => Promise.resolve()), {
      status: 413,
      code: "body_too_large",
    });
    assert.equal(intake.pendingBytes, 0);
  }
});

Deno.test("body › all that are worked on at a time are bounded together", async () => {
  const intake = new BodyReader({ maxBytes: 1000, maxPendingBytes: 1500, timeoutMs: 30_000 });
  const { promise: working, resolve: finish } = Promise.withResolvers<void>();
  const first = intake.take(streamed(bytes(900)), () => {}, () => working);
  while (intake.pendingBytes < 900) await new Promise((resolve) => setTimeout(resolve));
  await assert.rejects(intake.take(streamed(bytes(601)), () => {}, () => Promise.resolve()), {
    status: 503,
    code: "too_much_pending",
    headers: { "Retry-After": "5" },
  });
  assert.equal(intake.pendingBytes, 900, "the refused one counts no longer");
  finish();
  await first;
  assert.equal(intake.pendingBytes, 0);
  await intake.take(streamed(bytes(1000)), () => {}, () => Promise.resolve());
});
