import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { CircuitBreakerStore } from "../../src/cache/circuit_breaker.ts";
import { StoreUnavailableError } from "../../src/base/errors.ts";
import type { Store } from "../../src/cache/store.ts";

const entry = { bytes: new Uint8Array(1), contentType: "image/png", created: 1, etag: "a" };

interface FaultyStore extends Store {
  /** The operations that were called, in order. */
  calls: string[];
}

/** A store whose calls fail or hang if `act` returns a promise. */
function faultyStore(act: (operation: string) => Promise<never> | undefined): FaultyStore {
  const calls: string[] = [];
  const answer = <T>(operation: string, value: T): Promise<T> => {
    calls.push(operation);
    return act(operation) ?? Promise.resolve(value);
  };
  return {
    name: "faulty",
    calls,
    get: () => answer("get", entry),
    set: () => answer("set", undefined),
    delete: () => answer("delete", true),
    deleteImage: () => answer("deleteImage", 1),
    clear: () => answer("clear", 1),
    list: () => answer("list", []),
    stats: () => answer("stats", { entries: 1 }),
    getOrLease: () => answer("getOrLease", { entry }),
    probe: (what) => answer(`probe ${what}`, undefined),
  };
}

const down = () => Promise.reject(new Error("down"));

/** Runs `use` with a circuit breaker around the store, then closes it. */
async function withBreaker(
  store: Store,
  use: (breaker: CircuitBreakerStore) => Promise<void>,
  breakMs = 60_000,
): Promise<void> {
  const breaker = new CircuitBreakerStore(store, {
    readTimeoutMs: 20,
    writeTimeoutMs: 20,
    breakMs,
    logger: getLogger("test"),
  });
  await use(breaker);
  breaker.close();
}

Deno.test("circuit breaker › skips a store after its first failure", async () => {
  const store = faultyStore(down);
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 10; i++) await assert.rejects(() => breaker.get("a"), StoreUnavailableError);
    assert.deepEqual(store.calls, ["get"]);
    assert.deepEqual(breaker.health(), { health: "ng", breaker: "open", lastError: "down", failedWrites: 0 });
  });
});

Deno.test("circuit breaker › waits one deadline for a store that hangs, then skips it", async () => {
  const store = faultyStore(() => new Promise<never>(() => {}));
  await withBreaker(store, async (breaker) => {
    await assert.rejects(() => breaker.get("a"), /no answer within 20 ms/);
    await assert.rejects(() => breaker.get("a"), StoreUnavailableError);
    await assert.rejects(() => breaker.getOrLease!("a", 1000), StoreUnavailableError);
    assert.deepEqual(store.calls, ["get"], "no lease is taken after a read failed");
  });
});

Deno.test("circuit breaker › counts failed writes, which stop leases but not reads", async () => {
  const store = faultyStore((operation) => operation === "get" ? undefined : down());
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 3; i++) await assert.rejects(() => breaker.set("a", entry), StoreUnavailableError);
    assert.equal(breaker.health().failedWrites, 3);
    await assert.rejects(() => breaker.getOrLease!("a", 1000), StoreUnavailableError);
    assert.deepEqual(await breaker.get("a"), entry);
    assert.deepEqual(store.calls, ["set", "get"]);
  });
});

Deno.test("circuit breaker › probes a failed store without any request, and uses it again when it recovers", async () => {
  let failing = true;
  const store = faultyStore(() => failing ? down() : undefined);
  await withBreaker(store, async (breaker) => {
    await assert.rejects(() => breaker.get("a"));
    await assert.rejects(() => breaker.set("a", entry));
    const calls = (name: string) => store.calls.filter((call) => call === name).length;
    while (calls("probe reads") < 2 || calls("probe writes") < 2) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(breaker.health().health, "ng");
    failing = false;
    while (breaker.health().health === "ng") await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(breaker.health().breaker, "closed");
    assert.deepEqual(await breaker.get("a"), entry);
    assert.equal(calls("get"), 2, "no request served as a probe");
  }, 10);
});

Deno.test("circuit breaker › treats a synchronous exception like any other failure", async () => {
  const store = faultyStore(() => {
    throw new Error("disk I/O error");
  });
  await withBreaker(store, async (breaker) => {
    await assert.rejects(() => breaker.get("a"), StoreUnavailableError);
    await assert.rejects(() => breaker.set("a", entry), StoreUnavailableError);
    await assert.rejects(() => breaker.stats(), StoreUnavailableError);
  });
});

Deno.test("circuit breaker › passes operators' requests to a store that it skips, and says why they fail", async () => {
  const store = faultyStore(down);
  await withBreaker(store, async (breaker) => {
    await assert.rejects(() => breaker.get("a"));
    await assert.rejects(() => breaker.clear(), /faulty is unavailable: down/);
    assert.deepEqual(store.calls, ["get", "clear"]);
  });
});
