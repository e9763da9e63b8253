import assert from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { workerRuntime } from "../../src/inference/workers/worker_runtime.ts";
import { WorkerPool } from "../../src/inference/workers/worker_pool.ts";
import type { probes } from "../support/probe_worker.ts";

Deno.test("sandbox › code in a worker reaches no files, network, environment or programs", async (t) => {
  const pool = new WorkerPool<typeof probes>({
    name: "probe",
    runtime: workerRuntime,
    module: { url: import.meta.resolve("../support/probe_worker.ts") },
    size: 1,
    logger: getLogger("test"),
  });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("reached"));
  const { port } = server.addr;
  const name = "UPSTASH_REDIS_REST_TOKEN";
  const before = Deno.env.get(name);
  Deno.env.set(name, "secret");
  const attempts: [probe: keyof typeof probes, input: string | number | undefined][] = [
    ["readFile", new URL("../../deno.json", import.meta.url).pathname],
    ["writeFile", `${await Deno.makeTempDir()}/written`],
    ["openSocket", port],
    ["fetch", `http://127.0.0.1:${port}/`],
    ["readVariable", name],
    ["readProcessVariable", name],
    ["run", "true"],
    ["askForMore", undefined],
  ];
  for (const [probe, input] of attempts) {
    await t.step(`${probe} is refused`, async () => {
      const answer = await pool.call(probe, input as never, { budget: { leftMs: 30_000 } });
      assert.match(answer, /^(NotCapable|PermissionDenied|Error: denied|Error: prompt)/, answer);
    });
  }
  assert.equal(pool.sandboxed, true, "the pool reports it");
  if (before === undefined) Deno.env.delete(name);
  else Deno.env.set(name, before);
  await Deno.remove((attempts[1][1] as string).replace(/\/written$/, ""), { recursive: true });
  pool.close();
  await server.shutdown();
});
