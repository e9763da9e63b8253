import { Redis } from "@upstash/redis";
import { Jimp } from "jimp";
import { createHash } from "node:crypto";
import { discImage, fixture } from "../tests/support/images.ts";
import { RedisServer } from "../tests/support/redis.ts";
import { TestServer } from "../tests/support/server.ts";
import { ensureTestTools } from "../tests/support/tools.ts";
import type { Bench } from "./bench.ts";
import { GatewayProcess } from "./gateway.ts";
import { drive, get, postJson } from "./http_load.ts";
import { percentile, threeDigits } from "./measure.ts";

/** Keeps logging out of the measurement. */
const QUIET = { LOG_LEVEL: "warning" };
/** Too little memory for any entry, so that every hit is one of the durable store. */
const NO_MEMORY = { CACHE_MAX_BYTES: "1" };
const WARM_UP_MS = 2000;
/** How often Redis hits and a plain `GET` are measured in turn, because the speed of the machine varies over time. */
const TURNS = 5;

export const hits: Bench = {
  name: "hits",
  summary: "throughput and latency of hits in memory, SQLite and Redis, of mask hits and of 304",
  duration: "3 min",
  options: [{ name: "seconds", summary: "how long each kind is measured", fallback: 4 }],

  async run(values, report) {
    const milliseconds = values.number("seconds") * 1000;
    const image = await photograph(138_000);
    const predict = postJson(
      "/predict",
      JSON.stringify({ file_path: "photo.jpg", img_base64: image.toBase64() }),
    );
    await ensureTestTools();
    const rows: Row[] = [];
    const measure = async (operation: string, url: string, requests: readonly Uint8Array[], counts = [1, 16]) => {
      report(operation);
      for (const connections of counts) {
        await drive({ url, requests, connections, milliseconds: WARM_UP_MS });
        const latencies = await drive({ url, requests, connections, milliseconds });
        rows.push(toRow(operation, connections, latencies, milliseconds));
      }
    };
    let responseBytes: number;
    {
      await using server = await TestServer.start(QUIET, { checked: false });
      const { response } = await server.predict("photo.jpg", image);
      responseBytes = Number(response.headers.get("Content-Length"));
      await measure("memory hit", server.url, [predict], [1, 4, 16, 64]);
      const path = `/cutouts/${createHash("sha256").update(image).digest("hex")}`;
      const full = await server.fetch(path);
      await full.body?.cancel();
      await measure("304", server.url, [get(path, { "If-None-Match": full.headers.get("ETag")! })]);
      report("memory hits while misses are inferred");
      rows.push(await whileInferring(server, predict, milliseconds));
    }
    {
      await using server = await TestServer.start({ ...QUIET, ...NO_MEMORY }, { checked: false });
      await server.predict("photo.jpg", image);
      await server.settled();
      await measure("SQLite hit", server.url, [predict]);
    }
    {
      await using server = await TestServer.start({ ...QUIET, CACHE_STORE: "memory" }, { checked: false });
      await server.predict("photo.jpg", image);
      report("mask hits");
      rows.push(await maskHits(server, image, milliseconds));
    }
    await using redis = await RedisServer.start();
    await using gateway = await GatewayProcess.start({ redisUrl: redis.url });
    const settings = { UPSTASH_REDIS_REST_URL: gateway.url, UPSTASH_REDIS_REST_TOKEN: gateway.token };
    await using server = await TestServer.start({ ...QUIET, ...NO_MEMORY, ...settings }, { checked: false });
    await server.predict("photo.jpg", image);
    await server.settled();
    report("Redis hits, and a plain GET");
    rows.push(...await redisHits(server, predict, { gateway, redis, milliseconds }));
    const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(0)} KB`;
    return [{
      caption: `A JPEG of ${kilobytes(image.length)} (1000×667) to \`/predict\`: ` +
        `${kilobytes(predict.length)} of JSON in, ${
          kilobytes(responseBytes)
        } out; 304 from \`GET /cutouts/{sha256}\`. ` +
        "The load generator is another process on the same cores.",
      rows,
    }];
  },
};

interface Row {
  operation: string;
  connections: number;
  "requests/s": number;
  "p50 (ms)": number;
  "p99 (ms)": number;
}

/** The coffee photograph, enlarged and compressed to at most this many bytes. */
async function photograph(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const image = await Jimp.fromBuffer(fixture("coffee.jpg").buffer);
  image.resize({ w: 1000, h: 667 });
  for (let quality = 98;; quality -= 2) {
    const file = new Uint8Array(await image.getBuffer("image/jpeg", { quality }));
    if (file.length <= bytes) return file;
  }
}

/** Measures hits over one connection while misses keep every core busy. */
async function whileInferring(server: TestServer, request: Uint8Array, milliseconds: number): Promise<Row> {
  const began = performance.now();
  let seed = 0;
  const misses = async () => {
    while (performance.now() - began < milliseconds) await server.cutout("miss.png", await discImage(1000 + seed++));
  };
  const inferring = Promise.all([misses(), misses(), misses()]);
  const latencies = await drive({ url: server.url, requests: [request], connections: 1, milliseconds });
  await inferring;
  return toRow(`memory hit, while ${seed} misses are inferred`, 1, latencies, milliseconds);
}

/** Measures renderings of a known image, each in a new colour, one at a time. */
async function maskHits(server: TestServer, image: Uint8Array<ArrayBuffer>, milliseconds: number): Promise<Row> {
  let colour = 0;
  const latencies = await repeat(async () => {
    const background = encodeURIComponent(`#${(colour++).toString(16).padStart(6, "0")}`);
    const response = await server.fetch(`/cutouts?background=${background}`, { method: "POST", body: image });
    await response.arrayBuffer();
    const status = response.headers.get("Cache-Status") ?? "";
    if (!status.includes("detail=mask")) throw new Error(`${response.status} ${status}, expected detail=mask`);
  }, milliseconds);
  return toRow("mask hit (`POST /cutouts`, a new colour each)", 1, latencies, milliseconds);
}

/**
 * Measures, in turn, Redis hits and reads of the same value by the SDK alone. On one connection, because more would measure
 * Redis.
 */
async function redisHits(
  server: TestServer,
  request: Uint8Array,
  { gateway, redis, milliseconds }: { gateway: GatewayProcess; redis: RedisServer; milliseconds: number },
): Promise<Row[]> {
  const client = await redis.client();
  const [key] = await client.keys("cutcache:cutout:*");
  await client.close();
  const sdk = new Redis({
    url: gateway.url,
    token: gateway.token,
    automaticDeserialization: false,
    responseEncoding: false,
    enableTelemetry: false,
  });
  const hits = (milliseconds: number) => drive({ url: server.url, requests: [request], connections: 1, milliseconds });
  const gets = (milliseconds: number) => repeat(() => sdk.get(key), milliseconds);
  await hits(WARM_UP_MS);
  await gets(WARM_UP_MS);
  const ofHits: number[] = [];
  const ofGets: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    ofHits.push(...await hits(milliseconds / TURNS));
    ofGets.push(...await gets(milliseconds / TURNS));
  }
  return [
    toRow("Redis hit", 1, ofHits, milliseconds),
    toRow("`GET` of the same value by the SDK alone", 1, ofGets, milliseconds),
  ];
}

/** Repeats the work for the given time, and resolves to the time of each run, in milliseconds. */
async function repeat(work: () => Promise<unknown>, milliseconds: number): Promise<number[]> {
  const latencies: number[] = [];
  for (let at = performance.now(), end = at + milliseconds; at < end;) {
    await work();
    const now = performance.now();
    latencies.push(now - at);
    at = now;
  }
  return latencies;
}

function toRow(operation: string, connections: number, latenciesMs: number[], milliseconds: number): Row {
  return {
    operation,
    connections,
    "requests/s": Math.round(latenciesMs.length / milliseconds * 1000),
    "p50 (ms)": threeDigits(percentile(latenciesMs, 0.5)),
    "p99 (ms)": threeDigits(percentile(latenciesMs, 0.99)),
  };
}
