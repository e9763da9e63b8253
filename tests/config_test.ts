import assert from "node:assert/strict";
import denoJson from "../deno.json" with { type: "json" };
import { OTEL_VARIABLES } from "../src/telemetry/otlp_metrics.ts";
import { readConfig, settingNames } from "../src/config.ts";

const read = (environment: Record<string, string>) => readConfig((name) => environment[name]);

Deno.test("config › every setting has a default that works", () => {
  const config = read({});
  assert.equal(config.PORT, 8000);
  assert.equal(config.CACHE_STORE, "auto");
});

Deno.test("config › an empty variable counts as not set", () => {
  assert.deepEqual(read({ PORT: "", UPSTASH_REDIS_REST_URL: "", CACHE_KEY: "" }), read({}));
});

Deno.test("config › an error names every invalid setting, with its description", () => {
  assert.throws(() => read({ PORT: "70000", MAX_PIXELS: "1e6", CACHE_KEY: "hash" }), (error: Error) => {
    assert.match(error.message, /PORT="70000": is more than 65535/);
    assert.match(error.message, /MAX_PIXELS="1e6": is not a whole number/);
    assert.match(error.message, /CACHE_KEY="hash".*content.*file_path/);
    return true;
  });
});

Deno.test("config › Redis needs a URL and a token", () => {
  const UPSTASH_REDIS_REST_URL = "http://localhost:8079";
  assert.throws(() => read({ UPSTASH_REDIS_REST_URL }), /needs both/);
  assert.throws(() => read({ CACHE_STORE: "upstash" }), /needs both/);
  assert.throws(() => read({ UPSTASH_REDIS_REST_URL: "localhost", UPSTASH_REDIS_REST_TOKEN: "t" }), /not an http/);
  assert.equal(read({ UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN: "t" }).UPSTASH_REDIS_REST_TOKEN, "t");
});

Deno.test("config › networks for images are a list in CIDR notation", () => {
  assert.deepEqual(read({}).IMAGE_URL_NETWORKS, []);
  const { IMAGE_URL_NETWORKS } = read({ IMAGE_URL_NETWORKS: "10.1.0.0/16, fd12::/16" });
  assert.deepEqual(IMAGE_URL_NETWORKS, ["10.1.0.0/16", "fd12::/16"]);
  for (const wrong of ["10.1.0.0", "10.1/16", "0x0a.0.0.0/8", "10.0.0.0/33", "intranet"]) {
    assert.throws(() => read({ IMAGE_URL_NETWORKS: wrong }), /is not a list of networks/, wrong);
  }
});

Deno.test("config › the start task may read these variables and those of @upstash/redis, and no others", () => {
  const others = ["AWS_REGION", "UPSTASH_CONSOLE", "VERCEL"];
  const expected = [...settingNames, ...OTEL_VARIABLES, ...others];
  assert.deepEqual(denoJson.permissions.start.env.toSorted(), expected.toSorted());
});
