import { burst, readSlowly } from "../tests/support/fleet_load.ts";
import { discImage } from "../tests/support/images.ts";
import { RedisServer } from "../tests/support/redis.ts";
import { TestServer } from "../tests/support/server.ts";
import { UpstashGateway } from "../tests/support/upstash_gateway.ts";
import type { Table } from "./bench.ts";
import { percentile, threeDigits } from "./measure.ts";

const INSTANCES = 3;
const BURST_IMAGES = 60;
const SLOW_RATES = [0, 0.001, 0.01];
const SLOW_MS = 400;
const READS = 2000;
const KNOWN_IMAGES = 10;
const CONNECTIONS = 4;

/** A fleet under stress, with the default deadlines: a burst of new images, and a Redis that is slow or restarts. */
export async function stress(report: (progress: string) => void): Promise<Table[]> {
  const bursts = [];
  for (const restart of [false, true]) {
    report(`a burst of ${BURST_IMAGES} images${restart ? ", with Redis restarted" : ""}`);
    bursts.push(await measureBurst(restart));
  }
  const slow = [];
  for (const rate of SLOW_RATES) {
    report(`a Redis with ${100 * rate} % slow answers`);
    slow.push(await measureSlow(rate));
  }
  return [{
    caption: `${BURST_IMAGES} new images, each sent to each of ${INSTANCES} instances, all at once. Duplicates are ` +
      "inferences beyond one per image. In the second row Redis restarts when a third of the images is done.",
    rows: bursts,
  }, {
    caption: `${READS} reads of known cutouts over ${CONNECTIONS} connections from an instance whose memory keeps ` +
      `nothing. A slow answer of Redis takes ${SLOW_MS} ms, twice the deadline. A lost hit is a 503.`,
    rows: slow,
  }];
}

async function measureBurst(restart: boolean) {
  await using redis = await RedisServer.start({ args: ["--appendonly", "yes", "--appendfsync", "everysec"] });
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using started = new AsyncDisposableStack();
  const servers: TestServer[] = [];
  for (let i = 0; i < INSTANCES; i++) {
    servers.push(started.use(await start(gateway, { INFERENCE_THREADS: "1", INFERENCE_TIMEOUT_MS: "120000" })));
  }
  await Promise.all(servers.map((server) => server.ready()));
  const images = await Promise.all(Array.from({ length: BURST_IMAGES }, (_, seed) => discImage(seed)));
  const began = performance.now();
  const inferences = await burst(servers, images, restart ? () => redis.restart() : undefined);
  const total = inferences.reduce((sum, count) => sum + count, 0);
  return {
    "Redis restarts": restart ? "yes" : "no",
    requests: BURST_IMAGES * INSTANCES,
    inferences: total,
    "by instance": inferences.join(" + "),
    duplicates: total - BURST_IMAGES,
    "new images/s": threeDigits(BURST_IMAGES / (performance.now() - began) * 1000),
  };
}

async function measureSlow(rate: number) {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  await using server = await start(gateway, { CACHE_MAX_BYTES: "0" });
  const images = await Promise.all(Array.from({ length: KNOWN_IMAGES }, (_, seed) => discImage(seed)));
  for (const image of images) await server.cutout("a.png", image);
  await server.settled();
  const { slow, lost, times } = await readSlowly({
    ...{ server, gateway, images, rate, slowMs: SLOW_MS },
    ...{ requests: READS, connections: CONNECTIONS },
  });
  return {
    "slow answers": `${100 * rate} %`,
    slow,
    "hits lost": lost,
    "lost (%)": threeDigits(100 * lost / READS),
    "p50 (ms)": threeDigits(percentile(times, 0.5)),
    "p99 (ms)": threeDigits(percentile(times, 0.99)),
  };
}

function start(gateway: UpstashGateway, settings: Record<string, string>): Promise<TestServer> {
  return TestServer.quick({
    UPSTASH_REDIS_REST_URL: gateway.url,
    UPSTASH_REDIS_REST_TOKEN: gateway.token,
    LOG_LEVEL: "error",
    ...settings,
  }, { checked: false });
}
