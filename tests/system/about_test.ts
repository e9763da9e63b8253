import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { testBackend } from "../support/engine.ts";
import { fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";
import { UUID } from "../support/uuid.ts";

Deno.test("about › the service describes itself", async (t) => {
  await using server = await TestServer.start();

  await t.step("GET / greets in text, or in JSON if the client prefers it", async () => {
    const text = await server.fetch("/");
    assert.match(text.headers.get("Content-Type")!, /^text\/plain/);
    assert.match(await text.text(), /^Cutcache .*\n$/);
    const json = await server.fetch("/", { headers: { Accept: "application/json" } });
    assert.match((await json.json()).message, /^Cutcache /);
  });

  await t.step(
    "GET / is a page if the client prefers HTML, and the page runs only scripts of this server",
    async () => {
      const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
      const page = await server.fetch("/", { headers: { Accept: browser } });
      assert.match(page.headers.get("Content-Type")!, /^text\/html/);
      assert.equal(page.headers.get("Vary"), "Accept");
      assert.match(
        page.headers.get("Content-Security-Policy")!,
        /^default-src 'none'; script-src 'self'; style-src 'self'/,
      );
      const html = await page.text();
      assert.doesNotMatch(
        html,
        /<style|style=|<script(?![^>]* src="page\/)| on\w+=|(?:src|href)="(?!page\/|docs"|\.\/)/,
      );
      for (const accept of ["*/*", "text/plain, text/html;q=0.5"]) {
        const greeting = await server.fetch("/", { headers: { Accept: accept } });
        assert.match(await greeting.text(), /^Cutcache /, accept);
        assert.equal(greeting.headers.get("Vary"), "Accept");
      }
      for (
        const [file, type] of [["app.js", "text/javascript"], ["page.css", "text/css"], ["icon.svg", "image/svg+xml"]]
      ) {
        const { headers, body } = await server.fetch(`/page/${file}`);
        await body?.cancel();
        assert.equal(headers.get("Content-Type")!.split(";")[0], type);
        const again = await server.fetch(`/page/${file}`, { headers: { "If-None-Match": headers.get("ETag")! } });
        assert.equal(again.status, 304);
      }
      for (const name of ["..%2fmodel.json", "%2e%2e%2fmodel.json", "nothing.js"]) {
        const { status, body } = await server.fetch(`/page/${name}`);
        await body?.cancel();
        assert.equal(status, 404, name);
      }
    },
  );

  await t.step("HEAD sends the length of the GET response, without its body", async () => {
    for (const path of ["/", "/docs", "/openapi.json", "/page/app.js", "/metadata", "/nothing"]) {
      const body = await (await server.fetch(path)).arrayBuffer();
      const head = await server.fetch(path, { method: "HEAD" });
      assert.equal(head.headers.get("Content-Length"), `${body.byteLength}`, path);
      assert.equal((await head.arrayBuffer()).byteLength, 0, path);
    }
  });

  await t.step("GET /health reports both servers as ok", async () => {
    const health = await server.health();
    assert.deepEqual(health.proxy_server, { health: "ok" });
    assert.deepEqual(health.predict_server, { health: "ok" });
    assert.equal(health.store.name, "memory+sqlite");
    assert.deepEqual(health.deferred, { pending: 0, failed: 0 });
  });

  await t.step("GET /metadata describes the model and the runtime", async () => {
    const { version, models, ...metadata } = await (await server.fetch("/metadata")).json();
    assert.match(version, /^[0-9a-f]{16}$/);
    const model = await Deno.readFile(new URL("../../static/model.onnx", import.meta.url));
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", model)).toHex();
    assert.deepEqual(models.map(({ name }: { name: string }) => name), ["u2netp", "u2netp-fast", "u2netp-rank32"]);
    assert.equal(models[0].version, version);
    assert.notEqual(models[1].version, version);
    assert.deepEqual(metadata, {
      name: "u2netp",
      licence: "Apache-2.0",
      source: "https://github.com/xuebinqin/U-2-Net",
      sha256,
      inputs: [{ name: "input.1", shape: [1, 3, 320, 320], type: "float32" }],
      outputs: [{ name: "1959", shape: [1, 1, 320, 320], type: "float32" }],
      backend: testBackend,
      backend_reason: "chosen by INFERENCE_BACKEND",
      threads: navigator.hardwareConcurrency,
      workers: 1,
      store: "memory+sqlite",
      app_version: denoJson.version,
    });
  });

  await t.step("the log has START and END of each request, its time, and whether it was a hit", async () => {
    await server.predict("coffee\n.jpg", fixture("coffee.jpg"));
    const { response } = await server.predict("coffee.jpg", fixture("coffee.jpg"));
    const last = response.headers.get("X-Request-Id");
    await server.logged(({ request_id, message }) => request_id === last && message.startsWith("END"));
    const lines = server.logs.filter(({ request_id }) => request_id !== undefined);
    const requests = Map.groupBy(lines, ({ request_id }) => request_id!);
    const messages = [...requests].map(([id, lines]) => ({ id, messages: lines.map(({ message }) => message), lines }));
    const [miss, hit] = messages.filter(({ messages }) => messages[0] === "START POST /predict");
    for (const { id, messages, lines } of [miss, hit]) {
      assert.match(id, UUID);
      assert.deepEqual([lines[0].job_id, lines.at(-1)!.job_id], [id, id]);
      assert.match(
        messages.at(-1)!,
        /^END 200, elapsed_time \[ms\]: [\d.]+, POST \/predict, source: (inference|memory)$/,
      );
      assert.equal(typeof lines.at(-1)!["elapsed_time [ms]"], "number");
    }
    assert.equal(miss.messages[1], "registering cache: coffee\\n.jpg");
    assert.equal(hit.messages[1], "cache hit: coffee.jpg");
    assert.equal(hit.id, last);
  });

  await t.step("/health and cache hits are served during an inference", async () => {
    const id = crypto.randomUUID();
    const body = fixture("astronaut.jpg");
    let running = true;
    const pending = server.fetch("/cutouts", { method: "POST", body, headers: { "X-Request-Id": id } })
      .finally(() => running = false);
    let servedRounds = 0;
    while (running) {
      assert.equal((await server.health()).predict_server.health, "ok");
      assert.match((await server.cutout("coffee.jpg", fixture("coffee.jpg"))).cacheStatus, /hit/);
      const { state } = await (await server.fetch(`/jobs/${id}`)).json();
      if (state === "inferring") servedRounds++;
    }
    const { status, body: cutout } = await pending;
    await cutout?.cancel();
    assert.equal(status, 200);
    // If the event loop waited for the inference, it would serve at most one request between two steps.
    assert.ok(servedRounds > 2, `${servedRounds} rounds were served during the inference`);
  });
});

Deno.test("about › the server reports invalid settings when it starts, with the valid values", async () => {
  await assert.rejects(
    () => TestServer.start({ PORT: "eighty", CACHE_STORE: "disk", UPSTASH_REDIS_REST_TOKEN: "secret", LOG_LEVEL: "" }),
    (error: Error) => {
      assert.match(error.message, /PORT="eighty": is not a whole number/);
      assert.match(error.message, /CACHE_STORE="disk".*"memory"\|"sqlite"/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    },
  );
  await assert.rejects(() => TestServer.start({ UPSTASH_REDIS_REST_TOKEN: "secret" }), /needs both/);
});
