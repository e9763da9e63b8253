import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { Hono } from "hono";
import { crossOrigin, secureHeaders } from "../../src/http/browser_headers.ts";
import { type AppEnv, requestScope } from "../../src/routes/shared/context.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";

function appFor(origins: string[]) {
  const app = new Hono<AppEnv>();
  app.use(requestScope(getLogger("cutcache"), new Telemetry()));
  app.use(secureHeaders({ embeddable: origins.length > 0 }));
  if (origins.length > 0) app.use(crossOrigin(origins));
  app.get("/image", (c) => c.body(new Uint8Array(10), 200, { Vary: "Accept" }));
  app.get("/page", (c) => c.html("<p>", 200, { "Content-Security-Policy": "default-src 'self'" }));
  app.get("/fails", () => {
    throw new Error("thrown by the test");
  });
  app.onError((_, c) => c.text("failed", 500));
  app.all("/image", (c) => c.text("not understood", 405));
  return app;
}

Deno.test("browser › nothing that is sent runs, is framed or is sniffed", async () => {
  for (const path of ["/image", "/fails", "/nothing"]) {
    const { headers } = await appFor([]).request(path);
    assert.equal(headers.get("Content-Security-Policy"), "default-src 'none'; frame-ancestors 'none'", path);
    assert.equal(headers.get("X-Content-Type-Options"), "nosniff");
    assert.equal(headers.get("X-Frame-Options"), "DENY");
    assert.equal(headers.get("Referrer-Policy"), "no-referrer");
    assert.equal(headers.get("Cross-Origin-Resource-Policy"), "same-origin");
  }
});

Deno.test("browser › a page says itself what it needs", async () => {
  const { headers } = await appFor([]).request("/page");
  assert.equal(headers.get("Content-Security-Policy"), "default-src 'self'");
});

Deno.test("browser › without origins there is no word of CORS", async () => {
  const response = await appFor([]).request("/image", { headers: { Origin: "https://a.example" } });
  assert.equal([...response.headers.keys()].find((name) => name.startsWith("access-control")), undefined);
});

Deno.test("browser › pages of the listed origins may ask, and caches are told that it depends", async () => {
  const app = appFor(["https://a.example", "http://localhost:3000"]);
  for (const [origin, answer] of [["https://a.example", "https://a.example"], ["https://b.example", null]] as const) {
    for (const path of ["/image", "/fails"]) {
      const { headers } = await app.request(path, { headers: { Origin: origin } });
      assert.equal(headers.get("Access-Control-Allow-Origin"), answer);
      assert.equal(headers.get("Access-Control-Expose-Headers")?.includes("Cache-Status") ?? false, answer !== null);
      assert.match(headers.get("Vary")!, path === "/image" ? /^Accept, Origin$/ : /^Origin$/);
      assert.equal(headers.get("Cross-Origin-Resource-Policy"), "cross-origin");
    }
  }
});

Deno.test("browser › with * every page may ask, and it depends on nothing", async () => {
  const { headers } = await appFor(["*"]).request("/image", { headers: { Origin: "https://any.example" } });
  assert.equal(headers.get("Access-Control-Allow-Origin"), "*");
  assert.equal(headers.get("Vary"), "Accept");
});

Deno.test("browser › a preflight is answered before the route, an OPTIONS that is none is not", async () => {
  const app = appFor(["https://a.example"]);
  const preflight = { Origin: "https://a.example", "Access-Control-Request-Method": "POST" };
  const asked = { ...preflight, "Access-Control-Request-Headers": "authorization,content-type" };
  const response = await app.request("/image", { method: "OPTIONS", headers: asked });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get("Access-Control-Allow-Origin"), "https://a.example");
  assert.match(response.headers.get("Access-Control-Allow-Methods")!, /POST/);
  assert.equal(response.headers.get("Access-Control-Allow-Headers"), "authorization,content-type");
  assert.equal((await app.request("/image", { method: "OPTIONS" })).status, 405);
});

Deno.test("browser › the body of a response stays as it is, for its speed", async () => {
  const app = appFor(["https://a.example"]);
  let made: Response | undefined;
  app.get("/own", () => made = new Response("own"));
  const response = await app.request("/own", { headers: { Origin: "https://a.example" } });
  assert.equal(response, made, "not one made anew around a stream of it");
  assert.equal(response.headers.get("Access-Control-Allow-Origin"), "https://a.example");
});
