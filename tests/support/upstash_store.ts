import { UpstashStore, type UpstashStoreOptions } from "../../src/cache/upstash.ts";
import { RedisServer } from "./redis.ts";
import { UpstashGateway } from "./upstash_gateway.ts";

/** An Upstash store, the gateway that it calls, and the Redis behind the gateway. */
export interface UpstashParts {
  store: UpstashStore;
  redis: RedisServer;
  gateway: UpstashGateway;
}

/** Runs `use` with an Upstash store in front of a gateway and a real Redis. */
export async function withUpstash(
  use: (parts: UpstashParts) => Promise<void>,
  options: Partial<UpstashStoreOptions> = {},
): Promise<void> {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const store = new UpstashStore({
    url: gateway.url,
    token: gateway.token,
    ttlSeconds: 60,
    timeoutMs: 60_000,
    maxValueBytes: 1_000_000,
    maxRequestBytes: 1_000_000,
    ...options,
  });
  await use({ store, redis, gateway });
}
