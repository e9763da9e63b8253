import assert from "node:assert/strict";
import { decodeBase64, type FormFile, parseFields } from "../../src/http/fields.ts";
import { parseMultipart } from "../../src/http/multipart.ts";

const encode = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;

/** The body of a form with these parts, each with its headers and content. */
function form(...parts: [headers: string[], content: string][]): Uint8Array<ArrayBuffer> {
  const text = parts.map(([headers, content]) => `--x\r\n${headers.join("\r\n")}\r\n\r\n${content}\r\n`).join("");
  return encode(`${text}--x--\r\n`);
}

const JSON_TYPE = "application/json";
const URL_ENCODED = "application/x-www-form-urlencoded";
const MULTIPART = "multipart/form-data; boundary=x";
const file = (parameters: string) => [`Content-Disposition: form-data; name="file"; ${parameters}`];

/** A form of this many parts, which does not end. */
const endlessForm = (parts: number) =>
  encode(
    Array.from({ length: parts }, (_, i) => `--x\r\nContent-Disposition: form-data; name="f${i}"\r\n\r\n1\r\n`).join(
      "",
    ),
  );

/** Counts the calls of the parsers that do not bound their work. */
function withParsers(use: (calls: { json: number; urlEncoded: number }) => void): void {
  const calls = { json: 0, urlEncoded: 0 };
  const { parse } = JSON;
  const { URLSearchParams } = globalThis;
  JSON.parse = (...args) => (calls.json++, parse(...args));
  globalThis.URLSearchParams = class extends URLSearchParams {
    constructor(...args: ConstructorParameters<typeof URLSearchParams>) {
      super(...args);
      calls.urlEncoded++;
    }
  };
  try {
    use(calls);
  } finally {
    JSON.parse = parse;
    globalThis.URLSearchParams = URLSearchParams;
  }
}

Deno.test("fields › a body with more structure than any request needs is refused before it is parsed", () =>
  withParsers((calls) => {
    const refused: [string, Uint8Array<ArrayBuffer>, string][] = [
      [URL_ENCODED, encode("a=&".repeat(200_000)), "invalid_form"],
      [URL_ENCODED, encode(Array.from({ length: 101 }, (_, i) => `f${i}=1`).join("&")), "invalid_form"],
      [JSON_TYPE, encode(`{"a":${"[".repeat(2_500_000)}${"]".repeat(2_500_000)}}`), "invalid_json"],
      [JSON_TYPE, encode(`{"a":${'{"a":'.repeat(40)}1${"}".repeat(40)}}`), "invalid_json"],
      [JSON_TYPE, encode(`{"a":[${"0,".repeat(2_500_000)}0]}`), "invalid_json"],
      [JSON_TYPE, encode(`{"a":[${'"\\"",'.repeat(1_000_000)}""]}`), "invalid_json"],
      [JSON_TYPE, encode(`{"a":${"1".repeat(5_000_000)}}`), "invalid_json"],
      [JSON_TYPE, encode(`{"a":1${" ".repeat(5_000_000)}}`), "invalid_json"],
    ];
    for (const [type, body, code] of refused) {
      assert.throws(() => parseFields(type, body), { code, status: 422 });
    }
    assert.deepEqual(calls, { json: 0, urlEncoded: 0 });
    parseFields(URL_ENCODED, encode("a=1"));
    parseFields(JSON_TYPE, encode("{}"));
    assert.deepEqual(calls, { json: 1, urlEncoded: 1 });
  }));

Deno.test("fields › a form of more parts than any request needs is refused before the rest is parsed", () => {
  const most = Array.from(
    { length: 100 },
    (_, i): [string[], string] => [[`Content-Disposition: form-data; name="f${i}"`], "1"],
  );
  for (const type of [MULTIPART, 'multipart/form-data; boundary="x"; charset=utf-8']) {
    for (const parts of [102, 200_000]) {
      assert.throws(() => parseFields(type, endlessForm(parts)), {
        code: "invalid_form",
        status: 422,
        message: /more than 100 parts/,
      });
    }
    assert.throws(() => parseFields(type, endlessForm(100)), { code: "invalid_form", message: /ends before/ });
    assert.equal(parseFields(type, form(...most)).size, 100);
  }
  const fields = Array.from({ length: 100 }, (_, i) => `f${i}=1`).join("&");
  assert.equal(parseFields(URL_ENCODED, encode(fields)).size, 100);
});

Deno.test("fields › strings of any length and content are not structure", () => {
  const text = `[{"\\,:${"[{".repeat(1_000_000)}\\`;
  const fields = parseFields(JSON_TYPE, encode(JSON.stringify({ text, b: "\\", c: '"' })));
  assert.deepEqual([...fields], [["text", text], ["b", "\\"], ["c", '"']]);
});

Deno.test("fields › JSON that ends within a string is not JSON", () => {
  assert.throws(() => parseFields(JSON_TYPE, encode('{"a":"b\\"')), { code: "invalid_json" });
});

Deno.test("fields › a file has the name that its sender meant, however it was written", () => {
  const cases: [parameters: string, name: string][] = [
    ['filename="photo.jpg"', "photo.jpg"],
    ["filename=photo.jpg", "photo.jpg"],
    ["filename*=UTF-8''na%C3%AFve.jpg", "naïve.jpg"],
    [`filename="nave.jpg"; filename*=UTF-8''na%C3%AFve.jpg`, "naïve.jpg"],
    ['filename="naïve.jpg"', "naïve.jpg"],
    ['filename="a\\"b.jpg"', 'a"b.jpg'],
    ['filename="a%22b.jpg"', 'a"b.jpg'],
    ['filename="a;b.jpg"', "a;b.jpg"],
    ['filename="C:\\photos\\b.jpg"', "C:\\photos\\b.jpg"],
  ];
  for (const [parameters, name] of cases) {
    const { name: got, bytes } = parseFields(MULTIPART, form([file(parameters), "abc"])).get("file") as FormFile;
    assert.deepEqual([got, bytes], [name, encode("abc")], parameters);
  }
});

Deno.test("fields › a part with a picture's type is a file without a name", () => {
  const headers = ['content-disposition: form-data; name="file"', "content-type: image/jpeg"];
  assert.deepEqual(parseFields(MULTIPART, form([headers, "abc"])).get("file"), { name: "", bytes: encode("abc") });
});

Deno.test("fields › empty fields are not given, in every kind of body", () => {
  const bodies: [type: string, body: Uint8Array<ArrayBuffer>][] = [
    [MULTIPART, form([file('filename=""'), ""], [['Content-Disposition: form-data; name="size"'], ""])],
    ["application/x-www-form-urlencoded", encode("size=&file=")],
    ["application/json", encode('{"size": "", "file": null}')],
  ];
  for (const [type, body] of bodies) assert.equal(parseFields(type, body).size, 0, type);
});

Deno.test("fields › a repeated field is refused, or its last value counts", () => {
  const body = encode("size=8x&size=9x");
  const type = "application/x-www-form-urlencoded";
  assert.throws(() => parseFields(type, body), { code: "invalid_request", message: "size: sent more than once" });
  assert.equal(parseFields(type, body, { repeated: "last" }).get("size"), "9x");
});

Deno.test("multipart › text around the boundaries is ignored, and the boundary may be quoted", () => {
  const body = encode(`preamble\r\n${new TextDecoder().decode(form([file('filename="a"'), "1\r\n2"]))}epilogue`);
  const [part, ...others] = parseMultipart('multipart/form-data; charset=utf-8; boundary="x"', body);
  assert.deepEqual([part.name, part.fileName, part.bytes, others.length], ["file", "a", encode("1\r\n2"), 0]);
  assert.deepEqual(parseMultipart(MULTIPART, encode("--x--\r\n")), []);
});

Deno.test("multipart › a form that is broken, or has too many parts, is refused with the reason", () => {
  const part: [string[], string] = [['Content-Disposition: form-data; name="a"'], "1"];
  const whole = form(part);
  const cases: [type: string, body: Uint8Array<ArrayBuffer>, reason: RegExp][] = [
    ["multipart/form-data", whole, /no boundary/],
    ["multipart/form-data; boundary=y", whole, /does not have the boundary/],
    [MULTIPART, encode(""), /does not have the boundary/],
    [MULTIPART, whole.slice(0, -8), /ends before its last boundary/],
    [MULTIPART, encode("--x\r\nno headers\r\n--x--"), /no headers/],
    [MULTIPART, form([["Content-Disposition: form-data"], "1"]), /no name/],
    [MULTIPART, form(...Array.from({ length: 101 }, () => part)), /more than 100 parts/],
  ];
  for (const [type, body, message] of cases) {
    assert.throws(() => parseMultipart(type, body), { code: "invalid_form", message });
  }
});

Deno.test("base64 › in either alphabet, and as a data URL in any case", () => {
  const bytes = new Uint8Array([0xfb, 0xff, 0xfe]);
  for (const text of ["+//+", "-__-", "data:image/png;base64,+//+", "DATA:IMAGE/PNG;BASE64,-__-"]) {
    assert.deepEqual(decodeBase64(text, "image"), bytes, text);
  }
  assert.throws(() => decodeBase64("no!", "image"), { code: "invalid_base64" });
  assert.throws(() => decodeBase64("data:image/png;base64,", "image"), { code: "no_image" });
});
