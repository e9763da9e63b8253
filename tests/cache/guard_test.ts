import assert from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { GuardedStore } from "../../src/cache/guard.ts";
import type { Store } from "../../src/cache/store.ts";

const entry = { bytes: new Uint8Array(1), contentType: "image/png", created: 1 };

/** A store that does what `act` says at each call, and counts the calls. */
function faultyStore(act: () => Promise<never>): Store & { calls: number } {
  const store = {
    name: "faulty",
    calls: 0,
    get: () => (store.calls++, act()),
    set: () => (store.calls++, act()),
    delete: () => act(),
    list: () => act(),
  };
  return store;
}

const guard = (store: Store, breakMs = 60_000) =>
  new GuardedStore(store, { readTimeoutMs: 20, writeTimeoutMs: 20, breakMs, logger: getLogger("test") });

Deno.test("guard › a store that fails is a miss, and is then left alone", async () => {
  const store = faultyStore(() => Promise.reject(new Error("gone")));
  const guarded = guard(store);
  for (let i = 0; i < 10; i++) assert.equal(await guarded.get("a"), undefined);
  assert.equal(store.calls, 1);
  assert.deepEqual(guarded.health(), { health: "ng", breaker: "open", lastError: "gone", failedWrites: 0 });
});

Deno.test("guard › a store that hangs is a miss once its deadline has passed", async () => {
  const store = faultyStore(() => new Promise<never>(() => {}));
  const guarded = guard(store);
  assert.equal(await guarded.get("a"), undefined);
  assert.equal(await guarded.get("a"), undefined);
  assert.equal(store.calls, 1);
  assert.match(guarded.health().lastError!, /no answer within 20 ms/);
});

Deno.test("guard › writes that fail reject, are counted, and do not keep reads away", async () => {
  const store = { ...faultyStore(() => Promise.reject(new Error("read-only"))), get: () => Promise.resolve(entry) };
  const guarded = guard(store);
  for (let i = 0; i < 3; i++) await assert.rejects(() => guarded.set("a", entry));
  assert.equal(guarded.health().failedWrites, 3);
  assert.deepEqual(await guarded.get("a"), entry);
});

Deno.test("guard › the breaker tries again by itself and closes when the store is back", async () => {
  let down = true;
  const store: Store = {
    ...faultyStore(() => Promise.reject(new Error("gone"))),
    get: () => down ? Promise.reject(new Error("gone")) : Promise.resolve(entry),
  };
  const guarded = guard(store, 10);
  assert.equal(await guarded.get("a"), undefined);
  down = false;
  assert.equal(await guarded.get("a"), undefined);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await guarded.get("a"), entry);
  assert.equal(guarded.health().breaker, "closed");
});
