import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { CircuitBreakerStore } from "../../src/cache/circuit_breaker.ts";
import { LateAnswerError, StoreUnavailableError } from "../../src/base/errors.ts";
import { type Entry, NO_LEASE, type Store, ValueRefusedError } from "../../src/cache/store.ts";

const entry: Entry = { bytes: new Uint8Array(1), contentType: "image/png", created: 1, etag: "a" };

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

Deno.test("circuit breaker › skips a store after three failures in a row", async () => {
  const store = faultyStore(down);
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 10; i++) await assert.rejects(() => breaker.get("a"), StoreUnavailableError);
    assert.deepEqual(store.calls, ["get", "get", "get"]);
    assert.deepEqual(breaker.health(), { health: "ng", breaker: "open", lastError: "down", failedWrites: 0 });
  });
});

Deno.test("circuit breaker › waits three deadlines for a store that hangs, then skips it", async () => {
  const store = faultyStore(() => new Promise<never>(() => {}));
  await withBreaker(store, async (breaker) => {
    // Each read is sent a second time when half of its deadline has passed.
    for (const key of ["a", "b", "c"]) await assert.rejects(() => breaker.get(key), /no answer within 20 ms/);
    await assert.rejects(() => breaker.get("a"), /skipped/);
    await assert.rejects(() => breaker.getOrLease!("a", 1000), StoreUnavailableError);
    assert.deepEqual(new Set(store.calls), new Set(["get"]), "no lease is taken after reads failed");
  });
});

Deno.test("circuit breaker › failures at the same time count as one, so that a pause of the store costs no hit after it", async () => {
  let answer: (() => void) | undefined;
  const pause = new Promise<void>((resolve) => answer = resolve);
  const store = { ...faultyStore(() => undefined), get: async () => (await pause, entry) };
  await withBreaker(store, async (breaker) => {
    const reads = Array.from({ length: 20 }, (_, i) => breaker.get(`${i}`));
    for (const { status } of await Promise.allSettled(reads)) assert.equal(status, "rejected");
    answer!();
    assert.equal(breaker.health().breaker, "closed");
    assert.deepEqual(await breaker.get("20"), entry);
  });
});

Deno.test("circuit breaker › skips a store that fails every second time", async () => {
  let calls = 0;
  const store = faultyStore(() => calls++ % 2 === 0 ? down() : undefined);
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 60; i++) await breaker.get(`${i}`).catch(() => {});
    assert.equal(breaker.health().breaker, "open");
  });
});

Deno.test("circuit breaker › a late answer shows that the store is alive, and callers may still have it", async () => {
  let answer: (entry: Entry) => void = () => {};
  const store = { ...faultyStore(() => undefined), get: () => new Promise<Entry>((resolve) => answer = resolve) };
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 10; i++) {
      const error = await breaker.get(`${i}`).then(() => undefined, (error) => error);
      assert.ok(error instanceof LateAnswerError);
      answer(entry);
      assert.deepEqual(await error.answer, entry);
    }
    assert.equal(breaker.health().breaker, "closed");
  });
});

Deno.test("circuit breaker › a slow answer is asked for once more, and costs no hit", async () => {
  let calls = 0;
  const store = {
    ...faultyStore(() => undefined),
    get: (): Promise<Entry> => calls++ === 0 ? new Promise(() => {}) : Promise.resolve(entry),
  };
  await withBreaker(store, async (breaker) => assert.deepEqual(await breaker.get("a"), entry));
  assert.equal(calls, 2);
});

Deno.test("circuit breaker › callers of one key share one read, whose deadline grows with the size", async () => {
  let calls = 0;
  const store: Store = {
    ...faultyStore(() => undefined),
    get: async (_key, onLength) => {
      calls++;
      onLength!(1_000_000);
      await new Promise((resolve) => setTimeout(resolve, 60));
      return entry;
    },
  };
  await withBreaker(store, async (breaker) => {
    const reads = await Promise.all(Array.from({ length: 20 }, () => breaker.get("a")));
    assert.deepEqual(reads, Array(20).fill(entry));
  });
  assert.equal(calls, 1);
});

Deno.test("circuit breaker › a value that the store refuses is missing, and the store is not to blame", async () => {
  const store = faultyStore(() => Promise.reject(new ValueRefusedError("WRONGTYPE")));
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 10; i++) assert.equal(await breaker.get("a"), undefined);
    for (let i = 0; i < 10; i++) await breaker.set("a", entry);
    assert.deepEqual(await breaker.getOrLease!("a", 1000), { lease: NO_LEASE });
    assert.deepEqual(breaker.health(), { health: "ok", breaker: "closed", failedWrites: 10 });
  });
});

Deno.test("circuit breaker › counts failed writes, which stop leases but not reads", async () => {
  const store = faultyStore((operation) => operation === "get" ? undefined : down());
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 3; i++) await assert.rejects(() => breaker.set("a", entry), StoreUnavailableError);
    assert.equal(breaker.health().failedWrites, 3);
    await assert.rejects(() => breaker.getOrLease!("a", 1000), StoreUnavailableError);
    assert.deepEqual(await breaker.get("a"), entry);
    assert.deepEqual(store.calls, ["set", "set", "set", "get"]);
  });
});

Deno.test("circuit breaker › probes a failed store without any request, and uses it again when it recovers", async () => {
  let failing = true;
  const store = faultyStore(() => failing ? down() : undefined);
  await withBreaker(store, async (breaker) => {
    for (let i = 0; i < 3; i++) {
      await assert.rejects(() => breaker.get("a"));
      await assert.rejects(() => breaker.set("a", entry));
    }
    const calls = (name: string) => store.calls.filter((call) => call === name).length;
    while (calls("probe reads") < 2 || calls("probe writes") < 2) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(breaker.health().health, "ng");
    failing = false;
    while (breaker.health().health === "ng") await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(breaker.health().breaker, "closed");
    assert.deepEqual(await breaker.get("a"), entry);
    assert.equal(calls("get"), 4, "no request served as a probe");
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
    for (let i = 0; i < 3; i++) await assert.rejects(() => breaker.get("a"));
    await assert.rejects(() => breaker.clear(), /faulty is unavailable: down/);
    assert.deepEqual(store.calls, ["get", "get", "get", "clear"]);
  });
});
