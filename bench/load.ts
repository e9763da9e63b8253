import { setTimeout as delay } from "node:timers/promises";
import PQueue from "p-queue";
import type { TestServer } from "../tests/support/server.ts";
import { predict } from "../tools/request/predict.ts";

export interface LoadOptions {
  /** The number of images. */
  images: number;
  /** Makes an image by its number, from 0, when its turn comes. */
  image: (number: number) => Uint8Array<ArrayBuffer>;
  /** How many images are sent, or wait for a retry, at the same time. */
  concurrency: number;
  /** The time limit for everything, in milliseconds; images that have not been sent by then fail. */
  timeoutMs: number;
  /** Called after each cutout with the number of cutouts so far. */
  onCutout?: (cutouts: number) => void;
}

export interface Load {
  /** For each cutout, the time from the first attempt to the complete response, in milliseconds. */
  readonly latenciesMs: number[];
  /** The number of responses by status. */
  readonly statuses: Map<number, number>;
  /** A message for each image without a cutout. */
  readonly failures: string[];
  /** The number of workers that the server has replaced since it started; each time, two are in memory for a while. */
  readonly workerRestarts: number;
  readonly elapsedMs: number;
}

/**
 * Sends images to a server with the client of `deno task request`, which retries a 503 after its `Retry-After`. Each image
 * must be new to the server.
 */
export async function load(server: TestServer, options: LoadOptions): Promise<Load> {
  const { images, image, concurrency, timeoutMs, onCutout } = options;
  const latenciesMs: number[] = [];
  const statuses = new Map<number, number>();
  const failures: string[] = [];
  const stop = AbortSignal.timeout(timeoutMs);
  const counted: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    return response;
  };
  const sleep = (ms: number, signal?: AbortSignal) => delay(ms, undefined, { signal });
  const target = { url: server.url, tryDigest: false, timeoutMs, retries: Infinity, stop };

  const send = async (number: number) => {
    if (stop.aborted) return failures.push("not sent in time");
    const began = performance.now();
    try {
      const { cache } = await predict(`${number}.jpg`, image(number), target, { fetch: counted, sleep });
      if (cache !== "miss") throw new Error(`image ${number} was a ${cache}, expected a miss`);
      latenciesMs.push(performance.now() - began);
      onCutout?.(latenciesMs.length);
    } catch (error) {
      failures.push((error as Error).message);
    }
  };
  const began = performance.now();
  const queue = new PQueue({ concurrency });
  await queue.addAll(Array.from({ length: images }, (_, number) => () => send(number)));
  const elapsedMs = performance.now() - began;
  const { engine: { worker_restarts: workerRestarts } } = await server.health();
  return { latenciesMs, statuses, failures, workerRestarts, elapsedMs };
}

/** @throws {Error} if an image has no cutout. */
export function expectNoFailures({ failures }: Load): void {
  if (failures.length > 0) throw new Error(`${failures.length} images failed: ${[...new Set(failures)].join("; ")}`);
}
