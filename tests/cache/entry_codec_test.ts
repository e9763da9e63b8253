import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import {
  decodeEntry,
  decodeEntryFromText,
  encodedTextLength,
  encodeEntry,
  encodeEntryAsText,
} from "../../src/cache/entry_codec.ts";
import type { Entry } from "../../src/cache/store.ts";

const entry: Entry = {
  bytes: new Uint8Array([1, 2, 3, 0, 255]),
  contentType: "image/png",
  created: 1_790_000_000_123,
  etag: "0a1b",
  layout: { width: 640, height: 70_000, foreground: { left: 1, top: 2, width: 3, height: 4 } },
};

const ascii = (text: string) => new TextEncoder().encode(text);

const codecs = {
  bytes: { encode: encodeEntry, decode: decodeEntry },
  text: { encode: (entry: Entry) => ascii(encodeEntryAsText(entry)), decode: decodeEntryFromText },
};

for (const [name, { encode, decode }] of Object.entries(codecs)) {
  Deno.test(`entry codec, ${name} › decoding reverses encoding`, () => {
    assert.deepEqual(decode(encode(entry)), entry);
    const { layout: _, ...mask } = entry;
    assert.deepEqual(decode(encode(mask)), mask);
    const empty = { ...entry, bytes: new Uint8Array() };
    assert.deepEqual(decode(encode(empty)), empty);
  });

  Deno.test(`entry codec, ${name} › a value truncated anywhere is rejected`, () => {
    const encoded = encode(entry);
    for (let length = 0; length < encoded.length; length++) {
      assert.equal(decode(encoded.slice(0, length)), undefined);
    }
  });

  Deno.test(`entry codec, ${name} › a value with a flipped bit in any byte is rejected`, () => {
    for (let i = 0; i < encode(entry).length; i++) {
      const encoded = encode(entry);
      encoded[i] ^= 1 << (i % 8);
      assert.equal(decode(encoded), undefined, `byte ${i}`);
    }
  });
}

Deno.test("entry codec, text › the length is known before encoding, and the text is ASCII that JSON does not escape", () => {
  for (const length of [0, 1, 2, 3, 1000]) {
    const text = encodeEntryAsText({ ...entry, bytes: new Uint8Array(length).fill(251) });
    assert.equal(text.length, encodedTextLength({ ...entry, bytes: new Uint8Array(length) }));
    assert.equal(JSON.stringify(text), `"${text}"`);
    assert.match(text, /^[ -~]+$/);
  }
});

Deno.test("entry codec, text › the file's base64 is available until its bytes are read", () => {
  const decoded = decodeEntryFromText(ascii(encodeEntryAsText(entry)))!;
  assert.equal(new TextDecoder().decode(decoded.base64), entry.bytes.toBase64());
  assert.deepEqual(decoded.bytes, entry.bytes);
  assert.equal(decoded.base64, undefined);
  assert.equal(decoded.bytes, decoded.bytes, "decoded once");
});

Deno.test("entry codec, text › foreign values are rejected, even with a valid checksum", () => {
  const sealed = (rest: string) => ascii(`CUT4 ${crc32(rest).toString(16).padStart(8, "0")} ${rest}`);
  const wrong = [
    "",
    " ",
    "1 0 0 0 0 0 0 image/png e",
    "x 0 0 0 0 0 0 image/png e AA==",
    "1 0 0 0 0 0 x image/png e AA==",
  ];
  assert.ok(decodeEntryFromText(sealed("1 0 0 0 0 0 0 image/png e AA==")));
  for (const rest of wrong) assert.equal(decodeEntryFromText(sealed(rest)), undefined, rest);
  assert.equal(decodeEntryFromText(ascii("Aborted")), undefined);
});
