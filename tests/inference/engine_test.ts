import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { decode } from "../../src/image/decode.ts";
import type { Engine } from "../../src/inference/engine/engine.ts";
import { EngineError, type EngineErrorCode, ImageError, UnknownModelError } from "../../src/base/errors.ts";
import { defaultRenderOptions as render, renderOptionsSchema } from "../../src/render/options.ts";
import { defaultModel, quickModel, sessionWorkerUrl, withEngine } from "../support/engine.ts";
import { discImage, paintImage, type Rgb } from "../support/images.ts";
import { withLogs } from "../support/logs.ts";

const faultySession = { session: sessionWorkerUrl("faulty_session_worker.ts") };
const plain = ([red, green, blue]: Rgb) => paintImage(16, 16, () => [red, green, blue]);

const failsWith = (...codes: EngineErrorCode[]) => (error: unknown) =>
  error instanceof EngineError && codes.includes(error.code) || assert.fail(String(error));

async function assertCutsOut(engine: Engine, seed: number): Promise<void> {
  const { file, times } = await engine.cutout({ image: await discImage(seed), render });
  assert.equal((await decode(file, { maxPixels: 1e6 })).width, 64);
  assert.ok(times.infer! > 0);
}

Deno.test("engine › a worker that spins, throws, exits or runs out of memory is replaced, and all other jobs succeed", (t) =>
  withEngine(async (engine) => {
    const faults: [fault: string, colour: Rgb, codes: EngineErrorCode[]][] = [
      ["spins beyond its deadline", [255, 0, 0], ["deadline_exceeded"]],
      ["throws", [0, 255, 0], ["worker_failed"]],
      ["exits", [0, 0, 255], ["deadline_exceeded", "worker_failed"]],
      ["runs out of memory", [255, 255, 255], ["worker_failed"]],
    ];
    for (const [i, [fault, colour, codes]] of faults.entries()) {
      await t.step(fault, async () => {
        const restarts = engine.status().workerRestarts;
        const bad = engine.cutout({ image: await plain(colour), render });
        // These wait behind it and must succeed.
        const waiting = [1, 2, 3].map((seed) => assertCutsOut(engine, 10 * i + seed));
        await Promise.all([assert.rejects(bad, failsWith(...codes)), ...waiting]);
        await assertCutsOut(engine, 10 * i + 4);
        assert.ok(engine.status().workerRestarts > restarts);
        assert.equal(engine.status().health, "ok");
      });
    }
  }, { workerUrls: faultySession, timeoutMs: 12_000 }));

Deno.test("engine › a bad image does not cost a worker", () =>
  withEngine(async (engine) => {
    await assert.rejects(
      () => engine.cutout({ image: new TextEncoder().encode("no image"), render }),
      (error: unknown) => error instanceof ImageError && error.code === "invalid_image",
    );
    assert.equal(engine.status().workerRestarts, 0);
    await assertCutsOut(engine, 1);
  }));

Deno.test("engine › a job beyond the queue's limit is refused, with the time to retry after", () =>
  withEngine(async (engine) => {
    // Two begin (one is inferred, one decoded), two wait.
    const images = await Promise.all([1, 2, 3, 4].map((seed) => discImage(seed)));
    const jobs = images.map((image) => engine.cutout({ image, render }));
    assert.deepEqual([engine.status().running, engine.status().waiting], [2, 2]);
    await assert.rejects(engine.cutout({ image: images[0], render }), (error: unknown) => {
      assert.ok(error instanceof EngineError);
      assert.equal(error.code, "queue_full");
      assert.ok(error.retryAfterSeconds! >= 1 && error.retryAfterSeconds! <= 60);
      return true;
    });
    await Promise.all(jobs);
    await assertCutsOut(engine, 5);
  }, { queueLimit: 2 }));

Deno.test("engine › an aborted job leaves the queue", () =>
  withEngine(async (engine) => {
    const images = await Promise.all([1, 2, 3, 4].map((seed) => discImage(seed)));
    const controller = new AbortController();
    const jobs = images.map((image, i) =>
      engine.cutout({ image, render, signal: i === 3 ? controller.signal : undefined })
    );
    assert.equal(engine.status().waiting, 2);
    controller.abort();
    await assert.rejects(jobs[3], { name: "AbortError" });
    assert.equal(engine.status().waiting, 1);
    await Promise.all(jobs.slice(0, 3));
    assert.equal(engine.status().inferences, 3);
  }));

Deno.test("engine › a job with a known mask needs no inference, and does not wait behind one", async () => {
  let others: Promise<void>[] = [];
  await withEngine(async (engine) => {
    const image = await discImage(1);
    const { maskFile, file } = await engine.cutout({ image, render });
    // The first hangs in its inference, and the other two wait behind it.
    const images = [await plain([255, 255, 0]), await discImage(2), await discImage(3)];
    const states: string[] = [];
    const inferring = Promise.withResolvers<void>();
    const onState = (state: string) => {
      states.push(state);
      inferring.resolve();
    };
    others = images.map((image) => assert.rejects(engine.cutout({ image, render, onState }), failsWith("closed")));
    await inferring.promise;
    const again = await engine.cutout({ image, render, maskFile });
    assert.deepEqual(again.file, file);
    assert.equal(again.maskFile, undefined);
    const webp = renderOptionsSchema.parse({ format: "webp", crop: true });
    assert.equal((await engine.cutout({ image, render: webp, maskFile })).contentType, "image/webp");
    assert.deepEqual(states, ["inferring"], "one hangs, two wait");
    assert.equal(engine.status().inferences, 1);
  }, { workerUrls: faultySession });
  await Promise.all(others);
});

Deno.test("engine › images of every proportion are cut out", () =>
  withEngine(async (engine) => {
    for (const [width, height] of [[1, 1], [1, 5000], [5000, 1], [3, 700]]) {
      const image = await paintImage(width, height, (x, y) => [(x * 7) % 256, (y * 3) % 256, 99]);
      const { file } = await engine.cutout({ image, render });
      const cutout = await decode(file, { maxPixels: 1e6 });
      assert.deepEqual([cutout.width, cutout.height], [width, height]);
    }
  }));

Deno.test("engine › with `auto`, a backend that fails to load gives way to the next, with a warning", () =>
  withLogs(async (logs) => {
    await withEngine(async (engine) => {
      assert.equal(engine.status().backend, "wasm");
      assert.match(engine.status().backendReason, /^the fastest that loads; native: .*refused by the test/);
      await assertCutsOut(engine, 1);
      const [warning, ...others] = logs.filter(({ level }) => level === "warning");
      // The model here has no plan, so that the backend of plans does not run it either.
      assert.deepEqual(others.map(({ properties }) => properties.backend), ["compiled"]);
      assert.equal(warning.properties.backend, "native");
      assert.match(`${warning.properties.reason}`, /refused by the test/);
    }, {
      models: [{ ...await quickModel(), plan: undefined }],
      backend: "auto",
      workerUrls: { session: import.meta.resolve("../support/no_native_session_worker.ts") },
      logger: getLogger("cutcache"),
    });
  }));

Deno.test("engine › an unknown model is refused, and the error lists the known ones", () =>
  withEngine(async (engine) => {
    await assert.rejects(engine.cutout({ image: await discImage(1), render, model: "u3net" }), (error: unknown) => {
      return error instanceof UnknownModelError && /"u3net".*u2netp/.test(error.message);
    });
  }));

Deno.test("engine › a manifest that does not match its model is an error at the start, which names the mismatch", async (t) => {
  const mismatches: [part: string, change: Record<string, unknown>, message: RegExp][] = [
    [
      "input name",
      { input: { name: "image", width: 320, height: 320 } },
      /names the input "image", but the model has \["input.1"\]/,
    ],
    [
      "input size",
      { input: { name: "input.1", width: 512, height: 320 } },
      /gives the input shape 1×3×320×512, but the model takes 1×3×320×320/,
    ],
    ["output name", { output: { name: "alpha" } }, /names the output "alpha", but the model has \["1959"/],
  ];
  for (const [part, change, message] of mismatches) {
    await t.step(part, async () => {
      const model = await defaultModel();
      const models = [{ ...model, manifest: { ...model.manifest, ...change } }] as [typeof model];
      await assert.rejects(() => withEngine(() => Promise.resolve(), { models }), message);
    });
  }
});
