import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { discImage } from "../support/images.ts";
import { scrape } from "../support/metrics.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";

const DEPLOY = new URL("../../deploy/", import.meta.url);
const ADMIN_TOKEN = "the-operator-token-0123";
const API_TOKEN = "the-client-token-0123";

Deno.test("metrics › a server counts what it does", async (t) => {
  await using server = await TestServer.start({ QUEUE_LIMIT: "7" });

  await t.step("a miss, a hit, another rendering, and ten simultaneous requests", async () => {
    const image = await discImage(1);
    for (const query of ["", "", "?format=webp"]) {
      const response = await server.fetch(`/cutouts${query}`, { method: "POST", body: image });
      await response.body?.cancel();
    }
    const other = await discImage(2);
    await Promise.all(Array.from({ length: 10 }, () => server.cutout("a.png", other)));
    await server.settled();
    const metrics = await scrape(server);
    const value = (name: string) => metrics.get(`cutcache_${name}`);
    assert.equal(value(`cache_hits_total{tier="mask"}`), 1);
    assert.equal(value("cache_misses_total"), 2);
    assert.equal(value("inferences_total"), 2);
    // How many of the ten arrived while the first was pending depends on timing.
    const coalesced = value("coalesced_total")!;
    const memory = value(`cache_hits_total{tier="memory"}`)!;
    assert.equal(coalesced + memory, 1 + 9);
    assert.equal(value(`cache_hits_total{tier="sqlite"}`), 0);
    assert.equal(value(`answer_duration_seconds_count{source="inference"}`), 2);
    assert.equal(value(`answer_duration_seconds_count{source="memory"}`), memory);
    assert.equal(value(`answer_duration_seconds_count{source="mask"}`), 1);
    assert.equal(value(`http_requests_total{route="/cutouts",method="POST",status="200"}`), 3);
    assert.equal(value(`http_requests_total{route="/predict",method="POST",status="200"}`), 10);
    assert.equal(value(`http_request_duration_seconds_count{route="/cutouts"}`), 3);
    for (const [stage, runs] of Object.entries({ decode: 3, infer: 2, render: 3, encode: 3 })) {
      assert.equal(value(`stage_duration_seconds_count{stage="${stage}"}`), runs, stage);
      assert.ok(value(`stage_duration_seconds_sum{stage="${stage}"}`)! > 0, stage);
    }
    // Each request looks into the cache once, and hashes its body at least once.
    assert.equal(value(`stage_duration_seconds_count{stage="cache"}`), 13);
    assert.ok(value(`stage_duration_seconds_count{stage="hash"}`)! >= 13);
    assert.ok(
      value(`stage_duration_seconds_sum{stage="infer"}`)! < value(`answer_duration_seconds_sum{source="inference"}`)!,
    );
  });

  await t.step("the state of the server", async () => {
    const metrics = await scrape(server);
    const value = (name: string) => metrics.get(`cutcache_${name}`);
    assert.equal(value("queue_length"), 0);
    assert.equal(value("queue_limit"), 7);
    assert.equal(value("jobs_running"), 0);
    assert.equal(value("http_requests_in_flight"), 1, "this one");
    assert.equal(value("deferred_writes_pending"), 0);
    assert.equal(value("deferred_writes_failed_total"), 0);
    assert.equal(value("worker_restarts_total"), 0);
    assert.equal(value(`store_breaker_state{state="closed"}`), 1);
    assert.equal(value("ready"), 1);
    assert.ok(value("resident_memory_bytes")! > 1e8);
    assert.ok(Math.abs(value("start_time_seconds")! - Date.now() / 1000) < 600);
    const { version, backend } = await (await server.fetch("/metadata")).json();
    const labels = `version="${denoJson.version}",model="u2netp",model_version="${version}",backend="${backend}"`;
    assert.equal(value(`build_info{${labels}}`), 1);
  });

  await t.step("invented paths and invented methods add one series each", async () => {
    for (let i = 0; i < 20; i++) {
      for (const [path, method] of [[`/${i}`, "GET"], [`/cache/a/${i}`, "GET"], ["/", `MADE${i}`]]) {
        await (await server.fetch(path, { method })).body?.cancel();
      }
      const digest = `${i}`.padStart(64, "0");
      await (await server.fetch(`/cutouts/${digest}`)).body?.cancel();
    }
    const metrics = await scrape(server);
    const value = (labels: string) => metrics.get(`cutcache_http_requests_total{${labels}}`);
    assert.equal(value(`route="none",method="GET",status="404"`), 40);
    assert.equal(value(`route="/",method="other",status="405"`), 20);
    assert.equal(value(`route="/cutouts/:image",method="GET",status="404"`), 20);
    assert.doesNotMatch([...metrics.keys()].join(), /MADE|\/19/);
  });

  await t.step("alerts and dashboard use only existing metrics, and the dashboard shows all of them", async () => {
    const text = await (await server.fetch("/metrics")).text();
    const metrics = new Map<string, string>();
    for (const [, name, type] of text.matchAll(/^# TYPE (\w+) (\w+)$/gm)) {
      for (const suffix of type === "histogram" ? ["_bucket", "_sum", "_count"] : [""]) {
        const series = text.split("\n").filter((line) => line.startsWith(`${name}${suffix}`));
        metrics.set(name + suffix, series.join("\n"));
      }
    }
    const [alerts, dashboard] = await Promise.all(
      ["alerts.yaml", "grafana-dashboard.json"].map((name) => Deno.readTextFile(new URL(name, DEPLOY))),
    );
    const expressions = JSON.parse(dashboard).panels
      .flatMap(({ targets = [] }: { targets?: { expr: string }[] }) => targets.map(({ expr }) => expr));
    assert.ok(expressions.length > 20);
    for (const expression of [...expressions, alerts]) {
      for (const [selector, name, matchers = ""] of expression.matchAll(/\b(cutcache_\w+)(?:\{([^}]*)\})?/g)) {
        const series = metrics.get(name);
        assert.ok(series !== undefined, `${selector} does not exist`);
        for (const [, label] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
          if (label === "job" || label === "instance") continue; // Prometheus adds these.
          assert.match(series, new RegExp(`[{,]${label}="`), `${selector} has no ${label}`);
        }
      }
    }
    const shown = expressions.join("\n");
    for (const name of metrics.keys()) {
      if (!/_(sum|count)$/.test(name)) assert.ok(shown.includes(name), `${name} is not shown`);
    }
  });

  await t.step("pending requests, running ones and waiting ones", async () => {
    const images = await Promise.all([10, 11, 12, 13, 14, 15].map((seed) => discImage(seed)));
    let pending = true;
    const answers = Promise.all(images.map((image) => server.cutout("a.png", image))).finally(() => pending = false);
    const seen = new Set<string>();
    while (pending) {
      const metrics = await scrape(server);
      const [waiting, running, inFlight] = ["queue_length", "jobs_running", "http_requests_in_flight"]
        .map((name) => metrics.get(`cutcache_${name}`));
      seen.add(`${waiting} waiting, ${running} running, ${inFlight} in flight`);
    }
    await answers;
    // The scrape itself is in flight, too.
    for (const state of ["4 waiting, 2 running, 7 in flight", "2 waiting, 2 running, 5 in flight"]) {
      assert.ok(seen.has(state), [...seen].join("; "));
    }
  });
});

Deno.test("metrics › counts lost writes and Redis hits, and shows the state of the breaker", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await TestServer.quick({
    ...gateway.environment,
    // Memory keeps nothing, so that every hit comes from Redis.
    CACHE_MAX_BYTES: "1",
    CACHE_BREAK_MS: "600000",
  });
  await server.cutout("a.png", await discImage(1));
  await server.settled();
  await server.cutout("a.png", await discImage(1));
  const before = await scrape(server);
  assert.equal(before.get(`cutcache_cache_hits_total{tier="redis"}`), 1);
  assert.equal(before.get(`cutcache_deferred_writes_failed_total`), 0);
  await redis.kill();
  // The breaker opens after several failures.
  for (const seed of [2, 3, 4]) {
    await server.cutout("a.png", await discImage(seed));
    await server.settled();
  }
  const after = await scrape(server);
  assert.equal(after.get("cutcache_deferred_writes_failed_total"), 3, "one write for each image");
  assert.equal(after.get(`cutcache_store_breaker_state{state="open"}`), 1);
  assert.equal(after.get(`cutcache_store_breaker_state{state="closed"}`), 0);
  assert.equal(after.get("cutcache_cache_misses_total"), 4);
});

Deno.test("metrics › with API_TOKENS set, /metrics needs ADMIN_TOKEN", async () => {
  await using server = await TestServer.quick({ API_TOKENS: API_TOKEN, ADMIN_TOKEN });
  const status = async (token?: string) => {
    const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    const response = await server.fetch("/metrics", { headers });
    await response.body?.cancel();
    return response.status;
  };
  assert.deepEqual([await status(), await status(API_TOKEN), await status(ADMIN_TOKEN)], [401, 401, 200]);
  for (const path of ["/livez", "/readyz"]) {
    const response = await server.fetch(path);
    await response.body?.cancel();
    assert.notEqual(response.status, 401, path);
  }
});
