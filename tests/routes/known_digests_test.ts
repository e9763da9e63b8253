import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { sha256 } from "../../src/base/hash.ts";
import { KnownDigests } from "../../src/routes/predict/known_digests.ts";

/** Kept instead of the real digests, so that a digest that is looked up differs from one that is computed. */
const KNOWN = "0".repeat(64) as Awaited<ReturnType<typeof sha256>>;

const noise = (length: number) => new Uint8Array(randomBytes(length));

Deno.test("known digests › finds a repeated body by its bytes, in any buffer", async () => {
  const digests = new KnownDigests();
  for (const length of [0, 1, 30, 60_000]) {
    const bytes = noise(length);
    assert.equal(await digests.digestOf(bytes), createHash("sha256").update(bytes).digest("hex"));
    digests.keep(bytes, KNOWN);
    assert.equal(await digests.digestOf(bytes.slice()), KNOWN, `${length} bytes`);
  }
});

Deno.test("known digests › releases the bytes of a known body at once, and keeps those of a new one", async () => {
  const digests = new KnownDigests();
  const [first, repeated, other] = [noise(1000), noise(1000), noise(2000)];
  repeated.set(first);
  digests.keep(first, KNOWN);
  digests.keep(repeated, KNOWN);
  digests.keep(other, KNOWN);
  assert.deepEqual([first, repeated, other].map(({ length }) => length), [1000, 0, 2000]);
  assert.equal(await digests.digestOf(first.slice()), KNOWN);
});

Deno.test("known digests › hashes a body that differs in any one byte", async () => {
  const digests = new KnownDigests();
  const bytes = noise(1000);
  digests.keep(bytes, KNOWN);
  for (let at = 0; at < bytes.length; at++) {
    const other = bytes.slice();
    other[at] ^= 1;
    assert.equal(await digests.digestOf(other), await sha256(other), `byte ${at}`);
  }
  assert.equal(await digests.digestOf(bytes.slice()), KNOWN);
});

Deno.test("known digests › keeps the 8 MiB used most recently, and no large body", async () => {
  const digests = new KnownDigests();
  const many = Array.from({ length: 20 }, () => noise(1_000_000));
  for (const bytes of many) digests.keep(bytes, KNOWN);
  const known = await Promise.all(many.map(async (bytes) => await digests.digestOf(bytes) === KNOWN));
  assert.deepEqual(known, many.map((_, i) => i >= many.length - 8));
  const large = noise(1_100_000);
  digests.keep(large, KNOWN);
  assert.equal(await digests.digestOf(large), await sha256(large));
});
