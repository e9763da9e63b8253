import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { sha256 } from "../../src/base/hash.ts";
import { KnownDigests } from "../../src/routes/predict/known_digests.ts";

/** What it tells where it knows the bytes; not their digest, so that it is told from one that was made. */
const KEPT = "0".repeat(64) as Awaited<ReturnType<typeof sha256>>;

const noise = (length: number) => new Uint8Array(randomBytes(length));

Deno.test("known digests › what comes again is known by its bytes, wherever they lie", async () => {
  const digests = new KnownDigests();
  for (const length of [0, 1, 30, 60_000]) {
    const bytes = noise(length);
    assert.equal(await digests.digestOf(bytes), createHash("sha256").update(bytes).digest("hex"));
    digests.keep(bytes, KEPT);
    assert.equal(await digests.digestOf(bytes.slice()), KEPT, `${length} bytes`);
  }
});

Deno.test("known digests › what is kept already is let go at once, what is new is not", async () => {
  const digests = new KnownDigests();
  const [first, again, other] = [noise(1000), noise(1000), noise(2000)];
  again.set(first);
  digests.keep(first, KEPT);
  digests.keep(again, KEPT);
  digests.keep(other, KEPT);
  assert.deepEqual([first, again, other].map(({ length }) => length), [1000, 0, 2000]);
  assert.equal(await digests.digestOf(first.slice()), KEPT);
});

Deno.test("known digests › what differs in one byte, wherever, is hashed", async () => {
  const digests = new KnownDigests();
  const bytes = noise(1000);
  digests.keep(bytes, KEPT);
  for (let at = 0; at < bytes.length; at++) {
    const other = bytes.slice();
    other[at] ^= 1;
    assert.equal(await digests.digestOf(other), await sha256(other), `byte ${at}`);
  }
  assert.equal(await digests.digestOf(bytes.slice()), KEPT);
});

Deno.test("known digests › they keep 8 MiB, the last used ones, and nothing large", async () => {
  const digests = new KnownDigests();
  const many = Array.from({ length: 20 }, () => noise(1_000_000));
  for (const bytes of many) digests.keep(bytes, KEPT);
  const known = await Promise.all(many.map(async (bytes) => await digests.digestOf(bytes) === KEPT));
  assert.deepEqual(known, many.map((_, i) => i >= many.length - 8));
  const large = noise(1_100_000);
  digests.keep(large, KEPT);
  assert.equal(await digests.digestOf(large), await sha256(large));
});
