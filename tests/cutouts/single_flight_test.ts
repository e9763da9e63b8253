import assert from "node:assert/strict";
import { SingleFlight } from "../../src/cutouts/single_flight.ts";

Deno.test("coalescer › work under way is joined, finished work is not", async () => {
  const coalescer = new SingleFlight<number>();
  let runs = 0;
  const work = async () => {
    await Promise.resolve();
    return ++runs;
  };
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => coalescer.run("a", work))), [1, 1, 1]);
  assert.equal(coalescer.has("a"), false);
  assert.deepEqual(await Promise.all([coalescer.run("a", work), coalescer.run("b", work)]), [2, 3]);
});

Deno.test("coalescer › a failure reaches all who joined, and the next one tries again", async () => {
  const coalescer = new SingleFlight<string>();
  const failing = () => Promise.reject(new Error("no"));
  const results = await Promise.allSettled([coalescer.run("a", failing), coalescer.run("a", failing)]);
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal(await coalescer.run("a", () => Promise.resolve("yes")), "yes");
});

Deno.test("coalescer › work goes on while anybody waits for it, and is abandoned when nobody does", async () => {
  const coalescer = new SingleFlight<string>();
  let abandoned = false;
  const { promise: finish, resolve } = Promise.withResolvers<string>();
  const work = (signal: AbortSignal) => {
    signal.addEventListener("abort", () => abandoned = true);
    return finish;
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const waits = [first, second].map(({ signal }) => coalescer.run("a", work, signal));
  first.abort(new Error("gone"));
  await assert.rejects(waits[0], /gone/);
  assert.equal(abandoned, false);
  assert.equal(coalescer.has("a"), true);
  second.abort(new Error("gone too"));
  await assert.rejects(waits[1], /gone too/);
  assert.equal(abandoned, true);
  assert.equal(coalescer.has("a"), false);
  resolve("late");
});
