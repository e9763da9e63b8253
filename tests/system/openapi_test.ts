import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { hc } from "hono/client";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { AppType } from "../../src/app.ts";
import { errorCodes } from "../../src/base/errors.ts";
import { DescribedResponses } from "../support/described_responses.ts";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

Deno.test("OpenAPI", async (t) => {
  await using server = await TestServer.quick({ ADMIN_TOKEN: "0123456789abcdef" });
  const document = await (await server.fetch("/openapi.json")).json();

  await t.step("the document is OpenAPI 3.1", async () => {
    const result = await new Validator().validate(document);
    assert.deepEqual(result, { valid: true });
    assert.match(document.openapi, /^3\.1\./);
  });

  await t.step("operations have unique ids and explicit security, and default values are valid", () => {
    const operations = Object.values<Record<string, { operationId?: string; security?: unknown }>>(document.paths)
      .flatMap((item) => Object.values(item));
    assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length);
    assert.ok(operations.every(({ operationId, security }) => operationId && security));
    const ajv = new Ajv2020({ strict: false, logger: false });
    const defaults: string[] = [];
    (function visit(value: unknown, path: string): void {
      if (typeof value !== "object" || value === null) return;
      if ("default" in value && ("type" in value || "anyOf" in value)) {
        defaults.push(path);
        const { default: given, ...schema } = value;
        assert.ok(ajv.validate(schema, given), `${path}: ${given}`);
      }
      for (const [name, child] of Object.entries(value)) visit(child, `${path}/${name}`);
    })(document, "");
    assert.ok(defaults.length > 10);
    // A generated client would send them in the query and in the body.
    assert.ok(!defaults.some((path) => path.startsWith("/paths//cutouts/post")));
  });

  await t.step("every described operation exists, and other methods get 405 with the ones that exist", async () => {
    for (const [path, item] of Object.entries<Record<string, unknown>>(document.paths)) {
      const address = path.replace(/\{[^}]+\}/, "0".repeat(64));
      const methods = Object.keys(item).map((method) => method.toUpperCase());
      for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        const response = await server.fetch(address, { method, headers: { "X-Api-Key": "0123456789abcdef" } });
        await response.body?.cancel();
        const known = methods.includes(method === "HEAD" ? "GET" : method);
        assert.equal(response.status !== 405, known, `${method} ${address}`);
        if (!known) assert.ok(methods.every((method) => response.headers.get("Allow")!.includes(method)), address);
      }
    }
  });

  await t.step("an error is problem details", async () => {
    const response = await server.fetch("/cutouts/abc");
    assert.equal(response.headers.get("Content-Type"), "application/problem+json");
    const { request_id, ...problem } = await response.json();
    assert.equal(request_id, response.headers.get("X-Request-Id"));
    assert.deepEqual(problem, {
      type: "/docs#invalid_digest",
      title: errorCodes.invalid_digest.title,
      status: 400,
      detail: '"abc" is not a SHA-256 digest of 64 hexadecimal digits',
      code: "invalid_digest",
    });
  });

  await t.step("/docs lists every path and error, and loads nothing from elsewhere", async () => {
    const response = await server.fetch("/docs");
    const page = await response.text();
    for (const path of Object.keys(document.paths)) assert.ok(page.includes(`<code>${path}</code>`), path);
    for (const code of Object.keys(errorCodes)) assert.ok(page.includes(`<tr id="${code}">`), code);
    assert.doesNotMatch(page, /<script|<link|<img|@import|url\(|(?:src|href)="(?!#|\/)/);
    assert.doesNotMatch(page, /undefined|\[object/);
    const policy = response.headers.get("Content-Security-Policy")!;
    const style = /<style>([^]*)<\/style>/.exec(page)![1];
    const digest = createHash("sha256").update(style).digest("base64");
    assert.ok(policy.includes("default-src 'none'") && policy.includes(`style-src 'sha256-${digest}'`));
  });

  await t.step("the curl commands of /docs work", async () => {
    // Until the server is ready, /readyz returns 503.
    await server.ready();
    const page = await (await server.fetch("/docs")).text();
    const commands = page.matchAll(/<pre[^>]*>(curl [^<]*)<\/pre>/g).map(([, text]) =>
      text.replaceAll("&#39;", "'").replaceAll("&quot;", '"').replaceAll("&amp;", "&")
    ).toArray();
    assert.ok(commands.some((command) => command.includes("/predict")));
    const folder = await Deno.makeTempDir();
    await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
    const photo = await discImage(2);
    for (const name of ["photo.jpg", "background.jpg"]) await Deno.writeFile(`${folder}/${name}`, photo);
    // For the recipe that gets it by its address.
    await (await server.fetch("/cutouts", { method: "POST", body: photo })).body?.cancel();
    // Except those that delete, and those that fetch an image by URL.
    for (const command of commands.filter((command) => !/ DELETE |\?url=/.test(command))) {
      const { success, stdout } = await new Deno.Command("sh", {
        args: ["-c", command.replace(/-o \w+\.\w+/, "-o /dev/null").replace("curl ", "curl -s -w '%{http_code}' ")],
        cwd: folder,
        env: { ADMIN_TOKEN: "0123456789abcdef", NO_PROXY: "127.0.0.1" },
      }).output();
      assert.ok(success, command);
      assert.match(new TextDecoder().decode(stdout), /200$/, command);
    }
  });

  await t.step("a client typed by the routes can call them", async () => {
    const client = hc<AppType>(server.url, { headers: { "X-Api-Key": "0123456789abcdef" } });
    const health = await (await client.health.$get()).json();
    assert.ok("engine" in health && health.engine.health === "ok");
    const metadata = await (await client.metadata.$get()).json();
    assert.ok("models" in metadata && metadata.models[0].name === metadata.name);
    const image = await discImage(1);
    const json = { file_path: "a.png", img_base64: image.toBase64(), options: { format: "webp" as const } };
    const body = await (await client.predict.$post({ json, header: {} })).json();
    assert.ok(body.status === "ok" && body.img_none_bg_base64.length > 0);
    // @ts-expect-error -- the types require every mandatory field
    ((): unknown => client.predict.$post({ json: { file_path: "a.png" }, header: {} }));
    const digest = createHash("sha256").update(image).digest("hex");
    const cutout = await client.cutouts[":image"].$get({
      param: { image: digest },
      query: { format: "webp" },
      header: {},
    });
    assert.equal(cutout.headers.get("Content-Type"), "image/webp");
    await cutout.body?.cancel();
    await server.settled();
    const cache = await (await client.cache.$get({ query: { limit: 1 } })).json();
    assert.ok("newest" in cache && cache.newest[0].image === digest);
  });

  await t.step("a response that is not described is detected", async () => {
    const described = new DescribedResponses(document);
    const json = (body: unknown, status = 200) =>
      Response.json(body, { status, headers: { "X-Request-Id": "012345" } });
    const health = await (await server.fetch("/health")).json();
    await described.check("GET", "/health", json(health));
    await assert.rejects(described.check("GET", "/health", Response.json(health)), /no X-Request-Id/);
    await assert.rejects(described.check("GET", "/health", json({ ...health, engine: {} })), /must have required/);
    await assert.rejects(described.check("GET", "/health", json(health, 201)), /status is not described/);
    await assert.rejects(described.check("GET", "/other", json({})), /path is not described/);
    await assert.rejects(described.check("POST", "/health", json({})), /method is not described/);
    const text = new Response("ok", { headers: { "X-Request-Id": "012345" } });
    await assert.rejects(described.check("GET", "/health", text), /text\/plain is not described/);
  });
});
