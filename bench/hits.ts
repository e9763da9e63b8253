import { fixture, PHOTOGRAPHS } from "../tests/support/images.ts";
import { RedisServer } from "../tests/support/redis.ts";
import { TestServer } from "../tests/support/server.ts";
import { ensureTestTools } from "../tests/support/tools.ts";
import { UpstashGateway } from "../tests/support/upstash_gateway.ts";
import type { Bench } from "./bench.ts";
import { markdownTable, percentile, threeDigits } from "./measure.ts";

const HITS = 50;

export const hits: Bench = {
  name: "hits",
  summary: "what a miss costs and what a hit costs, in each store mode; needs redis-server, as the tests do",
  duration: "1 min",

  async run() {
    await ensureTestTools();
    const cacheDir = await Deno.makeTempDir({ prefix: "cutcache-bench-" });
    try {
      const rows = await measure("sqlite", { CACHE_DIR: cacheDir });
      await using redis = await RedisServer.start();
      await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
      const upstash = { UPSTASH_REDIS_REST_URL: gateway.url, UPSTASH_REDIS_REST_TOKEN: gateway.token };
      rows.push(...await measure("redis", upstash));
      console.log(markdownTable(rows));
    } finally {
      await Deno.remove(cacheDir, { recursive: true });
    }
  },
};

interface Row {
  store: string;
  image: string;
  "miss (ms)": number;
  "first hit after a restart (ms)": number;
  "memory hit, median (ms)": number;
  "miss / memory hit": number;
}

/** Sends each photograph as a miss, restarts the server so that only its durable store knows them, and sends them again. */
async function measure(store: string, settings: Record<string, string>): Promise<Row[]> {
  const send = async (server: TestServer, name: string, expected: RegExp) => {
    const { cacheStatus, elapsedMs } = await server.cutout(name, fixture(`${name}.jpg`));
    if (!expected.test(cacheStatus)) throw new Error(`${name}: ${cacheStatus}, expected ${expected}`);
    return elapsedMs;
  };
  const misses = new Map<string, number>();
  {
    await using server = await TestServer.start(settings, { checked: false });
    for (const name of PHOTOGRAPHS) misses.set(name, await send(server, name, /fwd=miss/));
  }
  await using server = await TestServer.start(settings, { checked: false });
  const rows: Row[] = [];
  for (const image of PHOTOGRAPHS) {
    const durable = await send(server, image, /hit; detail=(sqlite|redis)/);
    const hits: number[] = [];
    for (let i = 0; i < HITS; i++) hits.push(await send(server, image, /hit; detail=memory/));
    const hit = percentile(hits, 0.5);
    const miss = misses.get(image)!;
    rows.push({
      store,
      image,
      "miss (ms)": threeDigits(miss),
      "first hit after a restart (ms)": threeDigits(durable),
      "memory hit, median (ms)": threeDigits(hit),
      "miss / memory hit": Math.round(miss / hit),
    });
  }
  return rows;
}
