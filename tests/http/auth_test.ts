import assert from "node:assert/strict";
import { findToken, SecretToken, tokenOf } from "../../src/http/auth.ts";

Deno.test("auth › reads a token from Authorization: Bearer, in any case, or from X-Api-Key", () => {
  const of = (fields: Record<string, string>) => tokenOf(new Headers(fields));
  assert.equal(of({ Authorization: "Bearer abc" }), "abc");
  assert.equal(of({ Authorization: "bearer  abc" }), "abc");
  assert.equal(of({ "X-Api-Key": "abc" }), "abc");
  assert.equal(of({ Authorization: "Basic abc", "X-Api-Key": "def" }), "def");
  assert.equal(of({ Authorization: "Basic abc" }), undefined);
  assert.equal(of({}), undefined);
});

Deno.test("auth › finds the matching token among several, and nothing else", () => {
  const tokens = ["first-token-0123456789", "second-token-0123456789"].map((text) => new SecretToken(text));
  assert.equal(findToken(tokens, "first-token-0123456789"), tokens[0]);
  assert.equal(findToken(tokens, "second-token-0123456789"), tokens[1]);
  for (const wrong of [undefined, "", "first-token-012345678", "first-token-0123456789,second-token-0123456789"]) {
    assert.equal(findToken(tokens, wrong), undefined);
  }
  assert.equal(findToken([], "anything"), undefined);
});

Deno.test("auth › a token does not reveal its text, and equal tokens have the same id", () => {
  const [first, same, other] = ["a-secret-0123456789", "a-secret-0123456789", "b-secret-0123456789"].map((text) =>
    new SecretToken(text)
  );
  assert.doesNotMatch(Deno.inspect(first, { showHidden: true }) + JSON.stringify(first), /a-secret/);
  assert.equal(first.id, same.id);
  assert.notEqual(first.id, other.id);
  assert.doesNotMatch(first.id, /secret/);
});
