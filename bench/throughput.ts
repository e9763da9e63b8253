import { Redis } from "@upstash/redis";
import { Jimp } from "jimp";
import { createHash } from "node:crypto";
import { discImage, fixture } from "../tests/support/images.ts";
import { RedisServer } from "../tests/support/redis.ts";
import { TestServer } from "../tests/support/server.ts";
import { ensureTestTools } from "../tests/support/tools.ts";
import { UpstashGateway } from "../tests/support/upstash_gateway.ts";
import type { Bench } from "./bench.ts";
import { markdownTable, percentile, threeDigits } from "./measure.ts";

/** Settings that keep the log of thousands of requests out of what is measured. */
const QUIET = { LOG_LEVEL: "warning" };
const WARM_UP_MS = 2000;

export const throughput: Bench = {
  name: "throughput",
  summary: "requests/s and latency of memory hits, Redis hits and 304s, at 1 and 16 connections; needs redis-server",
  duration: "2 min",
  options: [{ name: "seconds", summary: "how long each is measured", fallback: 5 }],

  async run(values) {
    const milliseconds = values.number("seconds") * 1000;
    const image = await photograph(138_000);
    const predict = post(JSON.stringify({ file_path: "photo.jpg", img_base64: image.toBase64() }));
    await ensureTestTools();
    const rows = [];
    {
      await using server = await TestServer.start(QUIET, { checked: false });
      const { response } = await server.predict("photo.jpg", image);
      rows.push(...await measure("memory hit", server, predict, milliseconds));
      const path = `/cutouts/${createHash("sha256").update(image).digest("hex")}`;
      const full = await server.fetch(path);
      await full.body?.cancel();
      const known = get(path, { "If-None-Match": full.headers.get("ETag")! });
      rows.push(...await measure("304", server, known, milliseconds));
      rows.push(await whileInferring(server, predict, milliseconds));
      console.log(
        `${(image.length / 1000).toFixed(0)} KB JPEG, ${(predict.length / 1000).toFixed(0)} KB of JSON in, ` +
          `${(Number(response.headers.get("Content-Length")) / 1000).toFixed(0)} KB out\n`,
      );
    }
    await using redis = await RedisServer.start();
    await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
    const settings = { UPSTASH_REDIS_REST_URL: gateway.url, UPSTASH_REDIS_REST_TOKEN: gateway.token };
    // Memory too small for anything: every hit is one of Redis.
    await using server = await TestServer.start({ ...QUIET, ...settings, CACHE_MAX_BYTES: "1" }, { checked: false });
    await server.predict("photo.jpg", image);
    await server.settled();
    rows.push(...await measure("redis hit", server, predict, milliseconds));
    rows.push(await bareGet(gateway, redis, milliseconds));
    console.log(markdownTable(rows));
  },
};

interface Row {
  what: string;
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

function post(body: string): Uint8Array {
  const headers = ["Content-Type: application/json", `Content-Length: ${body.length}`];
  return new TextEncoder().encode(`POST /predict HTTP/1.1\r\nHost: bench\r\n${headers.join("\r\n")}\r\n\r\n${body}`);
}

function get(path: string, headers: Record<string, string>): Uint8Array {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: bench\r\n${lines.join("")}\r\n`);
}

async function measure(what: string, server: TestServer, request: Uint8Array, milliseconds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const connections of [1, 16]) {
    await drive(server, request, connections, WARM_UP_MS);
    rows.push(toRow(what, connections, await drive(server, request, connections, milliseconds), milliseconds));
  }
  return rows;
}

/** Hits over one connection while misses keep every core busy. */
async function whileInferring(server: TestServer, request: Uint8Array, milliseconds: number): Promise<Row> {
  const began = performance.now();
  let seed = 0;
  const misses = async () => {
    while (performance.now() - began < milliseconds) await server.cutout("miss.png", await discImage(1000 + seed++));
  };
  const inferring = Promise.all([misses(), misses(), misses()]);
  const latencies = await drive(server, request, 1, milliseconds);
  await inferring;
  return toRow(`memory hit, while ${seed} misses are inferred`, 1, latencies, milliseconds);
}

/** The value that a Redis hit reads, read by the SDK alone. */
async function bareGet(gateway: UpstashGateway, redis: RedisServer, milliseconds: number): Promise<Row> {
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
  const latencies: number[] = [];
  for (let at = performance.now(), end = at + milliseconds; at < end;) {
    await sdk.get(key);
    const now = performance.now();
    latencies.push(now - at);
    at = now;
  }
  return toRow("GET of the same value by the SDK alone", 1, latencies, milliseconds);
}

function toRow(what: string, connections: number, latenciesMs: number[], milliseconds: number): Row {
  return {
    what,
    connections,
    "requests/s": Math.round(latenciesMs.length / milliseconds * 1000),
    "p50 (ms)": threeDigits(percentile(latenciesMs, 0.5)),
    "p99 (ms)": threeDigits(percentile(latenciesMs, 0.99)),
  };
}

/** Sends the request again and again over each connection, and resolves to the time of each answer, in milliseconds. */
async function drive(
  server: TestServer,
  request: Uint8Array,
  connections: number,
  milliseconds: number,
): Promise<number[]> {
  const { hostname, port } = new URL(server.url);
  const latencies: number[] = [];
  const end = performance.now() + milliseconds;
  await Promise.all(Array.from({ length: connections }, async () => {
    using connection = await Deno.connect({ hostname, port: Number(port) });
    connection.setNoDelay();
    const buffer = new Uint8Array(262_144);
    for (let at = performance.now(); at < end;) {
      await exchange(connection, request, buffer);
      const now = performance.now();
      latencies.push(now - at);
      at = now;
    }
  }));
  return latencies;
}

/**
 * One request and its whole answer, of which only the head is looked at: a client that does more would measure itself.
 * @throws {Error} where the answer is neither 200 nor 304.
 */
async function exchange(connection: Deno.TcpConn, request: Uint8Array, buffer: Uint8Array): Promise<void> {
  for (let sent = 0; sent < request.length;) sent += await connection.write(request.subarray(sent));
  let received = 0;
  let expected = Infinity;
  while (received < expected) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error("the server closed the connection");
    if (received === 0) {
      const head = new TextDecoder("latin1").decode(buffer.subarray(0, Math.min(count, 2000)));
      const end = head.indexOf("\r\n\r\n") + 4;
      const [, status] = /^HTTP\/1.1 (\d+)/.exec(head) ?? [];
      if (end < 4 || (status !== "200" && status !== "304")) throw new Error(`answered ${head.slice(0, 200)}`);
      expected = end + (status === "304" ? 0 : Number(/^content-length: (\d+)/im.exec(head)![1]));
    }
    received += count;
  }
}
