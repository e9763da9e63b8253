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

/** A store that does at each call what `act` says of it. */
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

const gone = () => Promise.reject(new Error("gone"));

/** Runs `use` with a guard before the store, and closes it. */
async function withGuard(
  store: Store,
  use: (guard: CircuitBreakerStore) => Promise<void>,
  breakMs = 60_000,
): Promise<void> {
  const guard = new CircuitBreakerStore(store, {
    readTimeoutMs: 20,
    writeTimeoutMs: 20,
    breakMs,
    logger: getLogger("test"),
  });
  await use(guard);
  guard.close();
}

Deno.test("guard › a store that fails is left alone from then on", async () => {
  const store = faultyStore(gone);
  await withGuard(store, async (guard) => {
    for (let i = 0; i < 10; i++) await assert.rejects(() => guard.get("a"), StoreUnavailableError);
    assert.deepEqual(store.calls, ["get"]);
    assert.deepEqual(guard.health(), { health: "ng", breaker: "open", lastError: "gone", failedWrites: 0 });
  });
});

Deno.test("guard › a store that hangs costs one deadline", async () => {
  const store = faultyStore(() => new Promise<never>(() => {}));
  await withGuard(store, async (guard) => {
    await assert.rejects(() => guard.get("a"), /no answer within 20 ms/);
    await assert.rejects(() => guard.get("a"), StoreUnavailableError);
    await assert.rejects(() => guard.getOrLease!("a", 1000), StoreUnavailableError);
    assert.deepEqual(store.calls, ["get"], "a lease is not asked for where reading has failed");
  });
});

Deno.test("guard › writes that fail are counted, and keep neither reads away nor leases waiting", async () => {
  const store = faultyStore((operation) => operation === "get" ? undefined : gone());
  await withGuard(store, async (guard) => {
    for (let i = 0; i < 3; i++) await assert.rejects(() => guard.set("a", entry), StoreUnavailableError);
    assert.equal(guard.health().failedWrites, 3);
    await assert.rejects(() => guard.getOrLease!("a", 1000), StoreUnavailableError);
    assert.deepEqual(await guard.get("a"), entry);
    assert.deepEqual(store.calls, ["set", "get"]);
  });
});

Deno.test("guard › probes the store by itself, and uses it again when it is back", async () => {
  let down = true;
  const store = faultyStore(() => down ? gone() : undefined);
  await withGuard(store, async (guard) => {
    await assert.rejects(() => guard.get("a"));
    await assert.rejects(() => guard.set("a", entry));
    const calls = (name: string) => store.calls.filter((call) => call === name).length;
    while (calls("probe reads") < 2 || calls("probe writes") < 2) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(guard.health().health, "ng");
    down = false;
    while (guard.health().health === "ng") await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(guard.health().breaker, "closed");
    assert.deepEqual(await guard.get("a"), entry);
    assert.equal(calls("get"), 2, "no caller was a probe");
  }, 10);
});

Deno.test("guard › what a store throws at once is a failure like any other", async () => {
  const store = faultyStore(() => {
    throw new Error("disk I/O error");
  });
  await withGuard(store, async (guard) => {
    await assert.rejects(() => guard.get("a"), StoreUnavailableError);
    await assert.rejects(() => guard.set("a", entry), StoreUnavailableError);
    await assert.rejects(() => guard.stats(), StoreUnavailableError);
  });
});

Deno.test("guard › what an operator asks for is tried whatever the breakers say, and fails in words", async () => {
  const store = faultyStore(gone);
  await withGuard(store, async (guard) => {
    await assert.rejects(() => guard.get("a"));
    await assert.rejects(() => guard.clear(), /faulty cannot be asked: gone/);
    assert.deepEqual(store.calls, ["get", "clear"]);
  });
});
