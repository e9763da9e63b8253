import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { discImage } from "../support/images.ts";
import { OtlpReceiver, type Span } from "../support/otlp_receiver.ts";
import { TestServer } from "../support/server.ts";

const CLIENT_SPAN = "b7ad6b7169203331";

/** The tolerance between two clocks: Deno times requests by the system's clock, which can be set, and stages by a monotonic one. */
const CLOCK_TOLERANCE_NS = 100_000_000n;

function attribute({ attributes }: Span, name: string): string | undefined {
  return attributes.find(({ key }) => key === name)?.value.stringValue;
}

Deno.test("tracing › with OTEL_DENO=true, each request has its spans", async (t) => {
  await using receiver = OtlpReceiver.start();
  // START lines of /cutouts are at this level.
  await using server = await TestServer.quick({ ...receiver.environment, LOG_LEVEL: "debug" });
  /** Sends an image as part of a client's trace. Returns the request's id. */
  const post = async (traceId: string, image: Uint8Array<ArrayBuffer>, query = "") => {
    const headers = { traceparent: `00-${traceId}-${CLIENT_SPAN}-01` };
    const response = await server.fetch(`/cutouts${query}`, { method: "POST", body: image, headers });
    await response.body?.cancel();
    assert.equal(response.status, 200);
    return response.headers.get("X-Request-Id")!;
  };
  const requestSpan = (traceId: string) =>
    receiver.received((span) => span.traceId === traceId && span.parentSpanId === CLIENT_SPAN);
  const namesBelow = async (traceId: string) => {
    const span = await requestSpan(traceId);
    return receiver.below(span).map(({ name }) => name);
  };
  const image = await discImage(1);
  const [miss, hit, rendering, one, other] = ["1", "2", "3", "4", "5"].map((digit) => digit.repeat(32));

  await t.step("a miss: every stage is a child of the request's span, which is a child of the client's", async () => {
    await post(miss, image);
    const span = await requestSpan(miss);
    assert.equal(span.name, "POST /cutouts");
    assert.equal(attribute(span, "http.route"), "/cutouts");
    const stages = receiver.below(span);
    assert.deepEqual(stages.map(({ name }) => name), ["hash", "cache", "decode", "infer", "render", "encode"]);
    for (const stage of stages) {
      assert.equal(stage.traceId, miss);
      assert.ok(BigInt(stage.startTimeUnixNano) >= BigInt(span.startTimeUnixNano) - CLOCK_TOLERANCE_NS, stage.name);
      assert.ok(BigInt(stage.startTimeUnixNano) < BigInt(stage.endTimeUnixNano), stage.name);
      assert.ok(BigInt(stage.endTimeUnixNano) <= BigInt(span.endTimeUnixNano) + CLOCK_TOLERANCE_NS, stage.name);
    }
  });

  await t.step("a hit and another rendering: only the stages that ran", async () => {
    await post(hit, image);
    await post(rendering, image, "?format=webp");
    assert.deepEqual(await namesBelow(hit), ["hash", "cache"]);
    assert.deepEqual(await namesBelow(rendering), ["hash", "cache", "decode", "render", "encode"]);
  });

  await t.step("requests that wait for each other: each has its own spans", async () => {
    const images = await Promise.all([2, 3, 4, 5].map((seed) => discImage(seed)));
    const traces = [one, other, "6".repeat(32), "7".repeat(32)];
    await Promise.all(images.map((image, i) => post(traces[i], image)));
    for (const trace of traces) {
      assert.deepEqual(await namesBelow(trace), ["hash", "cache", "decode", "infer", "render", "encode"]);
    }
  });

  await t.step("a span is named after the route, never after the path", async () => {
    const digest = createHash("sha256").update(image).digest("hex");
    await (await server.fetch(`/cutouts/${digest}`)).body?.cancel();
    const span = await receiver.received((span) => span.name === "GET /cutouts/:image");
    assert.equal(attribute(span, "url.path"), `/cutouts/${digest}`);
  });

  await t.step("log lines have the ids of the trace and the span", async () => {
    const id = await post("8".repeat(32), image);
    await server.logged(({ request_id, message }) => request_id === id && message.startsWith("END"));
    const span = await requestSpan("8".repeat(32));
    const lines = server.logs.filter(({ request_id }) => request_id === id);
    assert.deepEqual(lines.map(({ message }) => message.split(" ")[0]), ["START", "END"]);
    for (const line of lines) assert.deepEqual([line.trace_id, line.span_id], ["8".repeat(32), span.spanId]);
  });
});

Deno.test("tracing › without OTEL_DENO, log lines have no trace ids", async () => {
  await using server = await TestServer.quick();
  await (await server.fetch("/", { headers: { traceparent: `00-${"9".repeat(32)}-${CLIENT_SPAN}-01` } })).body
    ?.cancel();
  await server.logged(({ message }) => message.startsWith("END"));
  assert.ok(server.logs.every((line) => !("trace_id" in line || "span_id" in line)));
});

for (const collector of ["answers", "hangs"] as const) {
  Deno.test(`tracing › a server whose collector ${collector} ends within its deadline`, async () => {
    const DRAIN_SECONDS = 3;
    await using receiver = OtlpReceiver.start({ hangs: collector === "hangs" });
    const server = await TestServer.quick({
      ...receiver.environment,
      OTEL_METRIC_EXPORT_INTERVAL: "200",
      DRAIN_SECONDS: `${DRAIN_SECONDS}`,
    }, { checked: false });
    await server.ready();
    await server.cutout("a.png", await discImage(9));
    // Several exports have begun by then.
    await receiver.requested(3);
    const started = performance.now();
    const { code } = await server.stop();
    const seconds = (performance.now() - started) / 1000;
    if (collector === "answers") {
      // Deno's own programs around the server export theirs.
      const exports = receiver.metrics.filter((metrics) => metrics.has("cutcache_inferences_total"));
      assert.ok(exports.length >= 3, `${exports.length} exports of metrics`);
      const last = exports.at(-1)!;
      assert.equal(last.get("cutcache_inferences_total")!.sum!.dataPoints[0].asDouble, 1);
      const stages = last.get("cutcache_stage_duration_seconds")!.histogram!.dataPoints;
      for (const { count, bucketCounts, explicitBounds } of stages) {
        assert.equal(bucketCounts.reduce((sum, count) => sum + count), count);
        assert.equal(bucketCounts.length, explicitBounds.length + 1);
      }
    }
    console.log(`ended after ${seconds.toFixed(1)} s with code ${code}`);
    if (collector === "answers") assert.equal(code, 0);
    // Killing it takes two seconds more.
    assert.ok(seconds < DRAIN_SECONDS + 4, `${seconds} s`);
  });
}
