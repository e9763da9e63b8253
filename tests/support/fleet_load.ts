import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { seeded } from "./seeded.ts";
import type { TestServer } from "./server.ts";
import type { UpstashGateway } from "./upstash_gateway.ts";

export interface SlowReads {
  /** How many of the store's answers were slow. */
  readonly slow: number;
  /** How many hits there would have been with a fast store, and how many of them were lost. */
  readonly requests: number;
  readonly lost: number;
  /** In milliseconds, in ascending order. */
  readonly times: readonly number[];
}

/** Requests known cutouts from a server whose memory keeps nothing, while a part of the store's answers is slow. */
export async function readSlowly(
  { server, gateway, images, rate, slowMs, requests, connections }: {
    server: TestServer;
    gateway: UpstashGateway;
    images: readonly Uint8Array<ArrayBuffer>[];
    /** The part of the answers that are slow, from 0 to 1. */
    rate: number;
    slowMs: number;
    requests: number;
    connections: number;
  },
): Promise<SlowReads> {
  const addresses = images.map((image) => `/cutouts/${createHash("sha256").update(image).digest("hex")}`);
  const random = seeded(1);
  const slow: Promise<unknown>[] = [];
  gateway.fault = async () => {
    if (random() >= rate) return undefined;
    slow.push(delay(slowMs));
    await slow.at(-1);
    return undefined;
  };
  const times: number[] = [];
  let sent = 0;
  let hits = 0;
  await Promise.all(Array.from({ length: connections }, async () => {
    while (sent < requests) {
      const started = performance.now();
      const response = await fetch(server.url + addresses[sent++ % addresses.length]);
      await response.arrayBuffer();
      times.push(performance.now() - started);
      if (response.status === 200) hits++;
    }
  }));
  gateway.fault = undefined;
  await Promise.all(slow);
  return { slow: slow.length, requests, lost: requests - hits, times: times.sort((a, b) => a - b) };
}

/**
 * Sends each image to each server at once.
 * @param halfway called when a third of the images has been inferred.
 * @returns the inferences of each server.
 */
export async function burst(
  servers: readonly TestServer[],
  images: readonly Uint8Array<ArrayBuffer>[],
  halfway?: () => Promise<void>,
): Promise<number[]> {
  const inferences = () => Promise.all(servers.map((server) => server.inferences()));
  const answers = Promise.all(images.flatMap((image) =>
    servers.map(async (server) => {
      const response = await fetch(`${server.url}/cutouts`, { method: "POST", body: image });
      const etag = response.headers.get("ETag");
      await response.body?.cancel();
      if (response.status !== 200) throw new Error(`answered ${response.status}`);
      return etag;
    })
  ));
  const acting = (async () => {
    if (halfway === undefined) return;
    while ((await inferences()).reduce((sum, count) => sum + count, 0) < images.length / 3) await delay(50);
    await halfway();
  })();
  const [etags] = await Promise.all([answers, acting]);
  for (const [i, etag] of etags.entries()) {
    if (etag !== etags[i - i % servers.length]) throw new Error("two servers answered differently");
  }
  return await inferences();
}
