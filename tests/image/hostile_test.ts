import assert from "node:assert/strict";
import { encodeMask } from "../../src/image/encode.ts";
import { ImageError } from "../../src/base/errors.ts";
import { defaultRenderOptions, renderOptionsSchema } from "../../src/render/options.ts";
import { withEngine } from "../support/engine.ts";
import { HOSTILE_FILES, type Outcome } from "../support/hostile.ts";
import { fixture } from "../support/images.ts";

const TIMEOUT_MS = 20_000;
const LIMITS = { maxPixels: 25_000_000 };
/** In bytes: far more than the garbage of images of 25 megapixels, far less than the bombs inflate to. */
const MAX_GROWTH = 1_000_000_000;

const PNG_SIGNATURE = "89504e470d0a1a0a";
/** Small, so that decoding takes most of the time. */
const thumbnail = renderOptionsSchema.parse({ size: "0.01MP" });

Deno.test("hostile › every file is cut out or refused in time, and no worker is lost", async (t) => {
  const maskFile = await encodeMask({ data: new Uint8Array(64 * 64).fill(255), width: 64, height: 64 });
  await withEngine(async (engine) => {
    const before = Deno.memoryUsage().rss;
    for (const { name, make, outcomes, inferred } of HOSTILE_FILES) {
      await t.step(name, async () => {
        const job = { image: await make(), render: thumbnail, ...(!inferred && { maskFile }) };
        let outcome: Outcome = "good";
        try {
          const { file } = await engine.cutout(job);
          assert.equal(file.subarray(0, 8).toHex(), PNG_SIGNATURE);
        } catch (error) {
          if (!(error instanceof ImageError)) throw error;
          assert.match(error.message, /^[^\n]{10,300}$/);
          outcome = error.code;
        }
        assert.ok(outcomes.includes(outcome), `${outcome} instead of ${outcomes.join(" or ")}`);
      });
    }

    await t.step("afterwards a photograph is cut out as usual", async () => {
      const { maskFile } = await engine.cutout({ image: fixture("coffee.jpg"), render: defaultRenderOptions });
      assert.ok(maskFile !== undefined);
    });

    await t.step("no worker was replaced", () => {
      const { health, workerRestarts } = engine.status();
      assert.deepEqual({ health, workerRestarts }, { health: "ok", workerRestarts: 0 });
    });

    await t.step("the memory of the process has not grown", () => {
      const growth = Deno.memoryUsage().rss - before;
      assert.ok(growth < MAX_GROWTH, `by ${Math.round(growth / 1e6)} MB`);
    });
    // One thread, so that only a decoder can hang, not ONNX Runtime.
  }, { limits: LIMITS, timeoutMs: TIMEOUT_MS, threads: 1 });
});

Deno.test("hostile › there are at least 150 files, and no two have the same name", () => {
  assert.ok(HOSTILE_FILES.length >= 150, `${HOSTILE_FILES.length}`);
  assert.equal(new Set(HOSTILE_FILES.map(({ name }) => name)).size, HOSTILE_FILES.length);
});
