import assert from "node:assert/strict";
import { SingleFlight } from "../../src/cutouts/single_flight.ts";

Deno.test("single flight › callers join running work, but not finished work", async () => {
  const flights = new SingleFlight<number>();
  let runs = 0;
  const work = async () => {
    await Promise.resolve();
    return ++runs;
  };
  const joined = await Promise.all([1, 2, 3].map(() => flights.join("a", work)));
  assert.deepEqual(joined, [{ value: 1, leads: true }, { value: 1, leads: false }, { value: 1, leads: false }]);
  assert.equal(flights.has("a"), false);
  assert.deepEqual(await Promise.all([flights.join("a", work), flights.join("b", work)]), [
    { value: 2, leads: true },
    { value: 3, leads: true },
  ]);
});

Deno.test("single flight › all callers share a failure, and the next caller tries again", async () => {
  const flights = new SingleFlight<string>();
  const failing = () => Promise.reject(new Error("no"));
  const results = await Promise.allSettled([flights.join("a", failing), flights.join("a", failing)]);
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal((await flights.join("a", () => Promise.resolve("yes"))).value, "yes");
});

Deno.test("single flight › after a failure that concerns the leader alone, the next caller leads", async () => {
  const flights = new SingleFlight<string>({ concernsLeaderOnly: (error) => (error as Error).message === "mine" });
  const fails = (message: string) => () => Promise.reject(new Error(message));
  const works = () => Promise.resolve("made");
  const results = await Promise.allSettled([
    flights.join("a", fails("mine")),
    flights.join("a", fails("mine")),
    flights.join("a", works),
    flights.join("a", works),
  ]);
  assert.deepEqual(results.map((result) => result.status === "fulfilled" ? result.value : result.reason.message), [
    "mine",
    "mine",
    { value: "made", leads: true },
    { value: "made", leads: false },
  ]);
  const shared = await Promise.allSettled([flights.join("a", fails("ours")), flights.join("a", works)]);
  assert.deepEqual(shared.map(({ status }) => status), ["rejected", "rejected"], "all callers share any other failure");
});

Deno.test("single flight › work continues while a caller waits for it, and is aborted when none does", async () => {
  const flights = new SingleFlight<string>();
  let abandoned = false;
  const { promise: finish, resolve } = Promise.withResolvers<string>();
  const work = (signal: AbortSignal) => {
    signal.addEventListener("abort", () => abandoned = true);
    return finish;
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const waits = [first, second].map(({ signal }) => flights.join("a", work, signal));
  first.abort(new Error("gone"));
  await assert.rejects(waits[0], /gone/);
  assert.equal(abandoned, false);
  assert.equal(flights.has("a"), true);
  second.abort(new Error("gone too"));
  await assert.rejects(waits[1], /gone too/);
  assert.equal(abandoned, true);
  assert.equal(flights.has("a"), false);
  resolve("late");
});
