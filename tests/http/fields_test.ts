import assert from "node:assert/strict";
import { parseFields } from "../../src/http/fields.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const JSON_TYPE = "application/json";
const FORM_TYPE = "multipart/form-data; boundary=xx";

const form = (parts: number) =>
  bytes(
    Array.from({ length: parts }, (_, i) => `--xx\r\nContent-Disposition: form-data; name="f${i}"\r\n\r\n1\r\n`).join(
      "",
    ) +
      "--xx--\r\n",
  );

/** Counts the calls of the parsers that run on the main thread. */
async function withParsers(use: (calls: { json: number; form: number }) => Promise<void>): Promise<void> {
  const calls = { json: 0, form: 0 };
  const { parse } = JSON;
  const { formData } = Response.prototype;
  JSON.parse = (...args) => (calls.json++, parse(...args));
  Response.prototype.formData = function () {
    calls.form++;
    return formData.call(this);
  };
  try {
    await use(calls);
  } finally {
    JSON.parse = parse;
    Response.prototype.formData = formData;
  }
}

Deno.test("fields › a body with more structure than any request needs is refused before it is parsed", () =>
  withParsers(async (calls) => {
    const refused: [string, Uint8Array<ArrayBuffer>, string][] = [
      [FORM_TYPE, form(200_000), "invalid_form"],
      ['multipart/form-data; boundary="xx"; charset=utf-8', form(101), "invalid_form"],
      ["application/x-www-form-urlencoded", bytes("a=&".repeat(200_000)), "invalid_form"],
      [JSON_TYPE, bytes(`{"a":${"[".repeat(2_500_000)}${"]".repeat(2_500_000)}}`), "invalid_json"],
      [JSON_TYPE, bytes(`{"a":${'{"a":'.repeat(40)}1${"}".repeat(40)}}`), "invalid_json"],
      [JSON_TYPE, bytes(`{"a":[${"0,".repeat(2_500_000)}0]}`), "invalid_json"],
      [JSON_TYPE, bytes(`{"a":[${'"\\"",'.repeat(1_000_000)}""]}`), "invalid_json"],
      [JSON_TYPE, bytes(`{"a":${"1".repeat(5_000_000)}}`), "invalid_json"],
      [JSON_TYPE, bytes(`{"a":1${" ".repeat(5_000_000)}}`), "invalid_json"],
    ];
    for (const [type, body, code] of refused) {
      await assert.rejects(() => parseFields(type, body), { code, status: 422 });
    }
    assert.deepEqual(calls, { json: 0, form: 0 });
  }));

Deno.test("fields › strings of any length and content are not structure", async () => {
  const text = `[{"\\,:${"[{".repeat(1_000_000)}\\`;
  const fields = await parseFields(JSON_TYPE, bytes(JSON.stringify({ text, b: "\\", c: '"' })));
  assert.deepEqual([...fields], [["text", text], ["b", "\\"], ["c", '"']]);
  const parts = await parseFields(FORM_TYPE, form(90));
  assert.equal(parts.size, 90);
});

Deno.test("fields › JSON that ends within a string is not JSON", async () => {
  await assert.rejects(() => parseFields(JSON_TYPE, bytes('{"a":"b\\"')), { code: "invalid_json" });
});
