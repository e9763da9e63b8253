import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { defaultRenderOptions } from "../../src/render/options.ts";
import { Readiness } from "../../src/routes/service/readiness.ts";
import { sessionWorkerUrl, withEngine } from "../support/engine.ts";
import { discImage } from "../support/images.ts";
import { withLogs } from "../support/logs.ts";

Deno.test("readiness › reports a failed first run until a request succeeds", () =>
  withLogs(async (logs) => {
    const logger = getLogger("cutcache");
    await withEngine(async (engine) => {
      const readiness = new Readiness(engine);
      assert.equal(readiness.reason, "the model has not run yet");
      await readiness.warmUp({ logger, attempts: 2, pauseMs: 1 });
      assert.match(readiness.reason!, /^the model's first run failed: .*refused by the test/);
      const failures = logs.filter(({ rawMessage }) => String(rawMessage).startsWith("the model's first run failed"));
      assert.equal(failures.length, 2);
      assert.equal(engine.status().workerRestarts, 2);
      await engine.cutout({ image: await discImage(1), render: defaultRenderOptions });
      assert.equal(readiness.reason, undefined);
    }, { logger, workerUrls: { session: sessionWorkerUrl("cold_session_worker.ts") } });
  }));
