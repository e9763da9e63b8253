import { createHash } from "node:crypto";
import PQueue from "p-queue";
import { fixture, PHOTOGRAPHS } from "../tests/support/images.ts";
import { RedisServer } from "../tests/support/redis.ts";
import { TestServer } from "../tests/support/server.ts";
import { ensureTestTools } from "../tests/support/tools.ts";
import { UpstashGateway } from "../tests/support/upstash_gateway.ts";
import type { Bench } from "./bench.ts";
import { drive, postJson } from "./http_load.ts";
import { percentile, threeDigits } from "./measure.ts";
import { stress } from "./fleet_stress.ts";
import { numbered } from "./pictures.ts";

const INSTANCES = [1, 2, 3];
/** Requests for each new image, distributed over the instances. */
const REQUESTS_PER_IMAGE = 6;
/** New images in progress at the same time. */
const IMAGES_PER_INSTANCE = 2;
const CONNECTIONS_PER_INSTANCE = 8;
const WARM_UP_MS = 1000;

export const fleet: Bench = {
  name: "fleet",
  summary: "hits per second and inferences of 1, 2 and 3 instances on one Redis",
  duration: "4 min",
  options: [
    { name: "seconds", summary: "how long hits are measured", fallback: 4 },
    { name: "new-images", summary: "how many new images each fleet gets", fallback: 12 },
  ],

  async run(values, report) {
    const milliseconds = values.number("seconds") * 1000;
    const count = values.number("new-images");
    await ensureTestTools();
    const rows = [];
    for (const instances of INSTANCES) {
      report(`${instances} of ${INSTANCES.at(-1)} instances`);
      rows.push(await measure(instances, count, milliseconds));
    }
    return [{
      caption: `New instances on one Redis with an empty cache. Each of ${count} new photographs is sent in ` +
        `${REQUESTS_PER_IMAGE} simultaneous requests, spread over the instances; ${IMAGES_PER_INSTANCE} photographs per ` +
        "instance are sent at a time. Duplicates are inferences beyond one per photograph. Hits are memory hits of `/predict`, over " +
        `${CONNECTIONS_PER_INSTANCE} connections per instance. Instances, Redis, its gateway and the load generator ` +
        "share the cores of one machine, so once all cores are busy, more instances do not help.",
      rows,
    }, ...await stress(report)];
  },
};

async function measure(instances: number, count: number, milliseconds: number) {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using fleet = await startFleet(instances, gateway);
  const { servers } = fleet;
  await Promise.all(servers.map((server) => server.ready()));
  const images = Array.from({ length: count }, (_, number) => {
    return numbered(fixture(`${PHOTOGRAPHS[number % PHOTOGRAPHS.length]}.jpg`), number);
  });
  const distinct = new Set(images.map((image) => createHash("sha256").update(image).digest("hex"))).size;

  const began = performance.now();
  const queue = new PQueue({ concurrency: IMAGES_PER_INSTANCE * instances });
  await queue.addAll(images.map((image, i) => async () => {
    const requests = Array.from({ length: REQUESTS_PER_IMAGE }, async (_, j) => {
      const server = servers[(i + j) % instances];
      const response = await server.fetch("/cutouts", { method: "POST", body: image });
      await response.arrayBuffer();
      if (response.status !== 200) throw new Error(`unexpected status ${response.status}`);
    });
    await Promise.all(requests);
  }));
  const elapsedMs = performance.now() - began;
  const inferences = await Promise.all(servers.map((server) => server.inferences()));
  const total = inferences.reduce((sum, count) => sum + count, 0);

  const known = images[0];
  const request = postJson("/predict", JSON.stringify({ file_path: "a.jpg", img_base64: known.toBase64() }));
  const load = (milliseconds: number) =>
    Promise.all(servers.map(({ url }) => {
      return drive({ url, requests: [request], connections: CONNECTIONS_PER_INSTANCE, milliseconds });
    }));
  await load(WARM_UP_MS);
  const latencies = (await load(milliseconds)).flat();
  return {
    instances,
    "hits/s": Math.round(latencies.length / milliseconds * 1000),
    "hit p50 (ms)": threeDigits(percentile(latencies, 0.5)),
    "new images": distinct,
    "requests for them": count * REQUESTS_PER_IMAGE,
    inferences: total,
    "by instance": inferences.join(" + "),
    duplicates: total - distinct,
    "new images/s": threeDigits(distinct / elapsedMs * 1000),
  };
}

async function startFleet(
  instances: number,
  gateway: UpstashGateway,
): Promise<AsyncDisposable & { readonly servers: readonly TestServer[] }> {
  await using started = new AsyncDisposableStack();
  const servers: TestServer[] = [];
  for (let i = 0; i < instances; i++) {
    servers.push(started.use(
      await TestServer.start({
        UPSTASH_REDIS_REST_URL: gateway.url,
        UPSTASH_REDIS_REST_TOKEN: gateway.token,
        LOG_LEVEL: "warning",
        // Many processes share few cores, so that short deadlines would test the machine rather than Redis.
        CACHE_TIMEOUT_MS: "5000",
        INFERENCE_TIMEOUT_MS: "120000",
      }, { checked: false }),
    ));
  }
  const running = started.move();
  return { servers, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
