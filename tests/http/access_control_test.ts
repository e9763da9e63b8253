import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { Hono } from "hono";
import { accessControl, withGuard } from "../../src/http/access_control.ts";
import { SecretToken } from "../../src/http/auth.ts";
import { toHttpError } from "../../src/routes/shared/errors.ts";
import { type AppEnv, requestScope } from "../../src/routes/shared/context.ts";
import { RateLimiter } from "../../src/http/rate_limit.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";

const ADMIN = "the-token-of-the-operator";
const CLIENT = "the-token-of-a-client";

/** Asks a guarded route from an address; two requests a day, for every client. */
function limitedApp(trustedProxies: number, tokens: string[] = []) {
  const dialect = new Hono<AppEnv>();
  dialect.onError((error, c) => {
    const { status, code, headers } = toHttpError(error);
    return c.text(`refused: ${code}`, status, headers);
  });
  dialect.get("/thing/:id", (c) => c.text("thing"));
  dialect.all("/thing/*", (c) => c.text("anything"));
  const app = new Hono<AppEnv>();
  app.use(requestScope(getLogger("cutcache"), new Telemetry()));
  const rateLimiter = new RateLimiter({ requests: 2, windowMs: 86_400_000 });
  const apiTokens = tokens.map((token) => new SecretToken(token));
  app.route(
    "/",
    withGuard(dialect, accessControl({ apiTokens, adminToken: new SecretToken(ADMIN), rateLimiter, trustedProxies })),
  );
  app.get("/after", (c) => c.text("not the dialect's"));
  return async (hostname: string, fields: Record<string, string> = {}, path = "/thing/1") => {
    const remoteAddr: Deno.NetAddr = { transport: "tcp", hostname, port: 4711 };
    return await app.request(path, { headers: fields }, { remoteAddr });
  };
}

const statuses = async (responses: Promise<Response>[]) => (await Promise.all(responses)).map(({ status }) => status);

Deno.test("access control › each request counts once, whatever number of routes fit it", async () => {
  const ask = limitedApp(0);
  const [first, second, third] = [await ask("192.0.2.1"), await ask("192.0.2.1"), await ask("192.0.2.1")];
  assert.equal(first.headers.get("RateLimit-Limit"), "2");
  assert.equal(first.headers.get("RateLimit-Remaining"), "1");
  assert.equal(first.headers.get("RateLimit-Policy"), "2;w=86400");
  assert.match(first.headers.get("RateLimit-Reset")!, /^\d{1,5}$/);
  assert.equal(second.headers.get("RateLimit-Remaining"), "0");
  assert.equal(third.status, 429);
  assert.equal(await third.text(), "refused: rate_limited");
  assert.equal(third.headers.get("RateLimit-Remaining"), "0");
  assert.ok(Number(third.headers.get("Retry-After")) >= 1);
  assert.equal((await ask("192.0.2.2")).status, 200);
});

Deno.test("access control › a guard is its dialect's only", async () => {
  const ask = limitedApp(0, [CLIENT]);
  assert.equal((await ask("192.0.2.1", {}, "/thing/1")).status, 401);
  assert.equal((await ask("192.0.2.1", {}, "/after")).status, 200);
});

Deno.test("access control › tokens count by themselves, wrong ones by their address", async () => {
  const ask = limitedApp(0, [CLIENT]);
  const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
  const guesses = Array.from({ length: 3 }, (_, i) => ask("192.0.2.1", bearer(`guess-number-${i}-of-many`)));
  assert.deepEqual(await statuses(guesses), [401, 401, 429]);
  const own = [
    ask("192.0.2.1", bearer(CLIENT)),
    ask("192.0.2.2", { "X-Api-Key": CLIENT }),
    ask("192.0.2.3", bearer(CLIENT)),
  ];
  assert.deepEqual(await statuses(own), [200, 200, 429]);
  assert.equal((await ask("192.0.2.1", bearer(ADMIN))).status, 200);
});

Deno.test("access control › X-Forwarded-For is believed as far as there are trusted proxies", async () => {
  const forwarded = (entries: string) => ({ "X-Forwarded-For": entries });
  const spoofed = limitedApp(0);
  assert.deepEqual(await statuses(["1", "2", "3"].map((n) => spoofed("192.0.2.1", forwarded(`198.51.100.${n}`)))), [
    200,
    200,
    429,
  ]);
  const behindOne = limitedApp(1);
  const clients = ["198.51.100.1", "evil, 198.51.100.1", "203.0.113.9, 198.51.100.1:4711", "198.51.100.2"];
  assert.deepEqual(await statuses(clients.map((entries) => behindOne("10.0.0.1", forwarded(entries)))), [
    200,
    200,
    429,
    200,
  ]);
  const behindTwo = limitedApp(2);
  const chains = ["evil, 198.51.100.1, 10.0.0.2", "198.51.100.1, 10.0.0.3", "198.51.100.1", "198.51.100.2, 10.0.0.2"];
  assert.deepEqual(await statuses(chains.map((entries) => behindTwo("10.0.0.1", forwarded(entries)))), [
    200,
    200,
    429,
    200,
  ]);
});

Deno.test("access control › an IPv6 network of 64 bits is one client", async () => {
  const ask = limitedApp(0);
  const addresses = ["2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8::3", "2001:db8:0:1::1", "::ffff:192.0.2.1"];
  assert.deepEqual(await statuses(addresses.map((address) => ask(address))), [200, 200, 429, 200, 200]);
  const mapped = [ask("192.0.2.1"), ask("192.0.2.1"), ask("::ffff:192.0.2.2")];
  assert.deepEqual(await statuses(mapped), [200, 429, 200]);
});
