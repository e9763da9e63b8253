import assert from "node:assert/strict";
import { decodeEntry, encodeEntry } from "../../src/cache/entry_codec.ts";

const entry = {
  bytes: new Uint8Array([1, 2, 3, 0, 255]),
  contentType: "image/png",
  created: 1_790_000_000_123,
  etag: "0a1b",
  layout: { width: 640, height: 70_000, foreground: { left: 1, top: 2, width: 3, height: 4 } },
};

Deno.test("entry codec › what was encoded is decoded", () => {
  assert.deepEqual(decodeEntry(encodeEntry(entry)), entry);
  const { layout: _, ...mask } = entry;
  assert.deepEqual(decodeEntry(encodeEntry(mask)), mask);
  const empty = { ...entry, bytes: new Uint8Array() };
  assert.deepEqual(decodeEntry(encodeEntry(empty)), empty);
});

Deno.test("entry codec › a value that is cut off anywhere is no entry", () => {
  const encoded = encodeEntry(entry);
  for (let length = 0; length < encoded.length; length++) {
    assert.equal(decodeEntry(encoded.slice(0, length)), undefined);
  }
});

Deno.test("entry codec › a value with any bit flipped is no entry", () => {
  for (let i = 0; i < encodeEntry(entry).length; i++) {
    const encoded = encodeEntry(entry);
    encoded[i] ^= 1 << (i % 8);
    assert.equal(decodeEntry(encoded), undefined, `byte ${i}`);
  }
});
