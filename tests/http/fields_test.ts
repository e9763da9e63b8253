import assert from "node:assert/strict";
import { decodeBase64, type FormFile, parseFields } from "../../src/http/fields.ts";
import { parseMultipart } from "../../src/http/multipart.ts";

const encode = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;

/** The body of a form with these parts, each with its headers and content. */
function form(...parts: [headers: string[], content: string][]): Uint8Array<ArrayBuffer> {
  const text = parts.map(([headers, content]) => `--x\r\n${headers.join("\r\n")}\r\n\r\n${content}\r\n`).join("");
  return encode(`${text}--x--\r\n`);
}

const MULTIPART = "multipart/form-data; boundary=x";
const file = (parameters: string) => [`Content-Disposition: form-data; name="file"; ${parameters}`];

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
