import assert from "node:assert/strict";
import { processMemory } from "../../bench/measure.ts";
import { numbered, pictures } from "../../bench/pictures.ts";
import { MemoryCgroup } from "../support/memory_cgroup.ts";
import { TestServer } from "../support/server.ts";

/** 512 MB, as platforms count them. */
const LIMIT = 512 * 2 ** 20;
const MISSES = 50;
const CONCURRENCY = 4;
/** Of two megapixels each. */
const SIZES = [{ width: 1732, height: 1155 }, { width: 1155, height: 1732 }];

/*
 * Started as on Deno Deploy: no flags, no variables, all permissions. If this process may not create a control group, the
 * server's resident memory is compared with the limit. That is stricter, as the program's own file counts too.
 */
Deno.test(`memory › ${MISSES} misses of 2 megapixels fit into 512 MB, without flags`, async (t) => {
  const command = [Deno.execPath(), "run", "-A", "src/main.ts"];
  await using cgroup = await MemoryCgroup.create(LIMIT);
  await using server = await TestServer.start(
    // Deno Deploy has two cores.
    { INFERENCE_THREADS: "2", LOG_LEVEL: "warning" },
    { checked: false, command: cgroup?.around(command) ?? command },
  );
  const files = await pictures(SIZES);
  const statuses: number[] = [];
  let sent = 0;
  const send = async () => {
    while (sent < MISSES) {
      const number = sent++;
      const body = numbered(files[number % files.length], number);
      const response = await fetch(`${server.url}/cutouts`, { method: "POST", body });
      await response.arrayBuffer();
      statuses.push(response.status);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, send));
  assert.deepEqual(statuses, Array(MISSES).fill(200));
  assert.equal(await server.inferences(), MISSES, "the server was not restarted");
  const { peak } = processMemory(server.pid);
  const megabytes = (bytes?: number) => bytes && Math.round(bytes / 1e6);
  await t.step(`at most ${megabytes(peak)} MB were resident, of ${megabytes(LIMIT)}`, async () => {
    if (cgroup === undefined) return assert.ok(peak < LIMIT);
    assert.equal(await cgroup.kills(), 0, `the group had up to ${megabytes(await cgroup.peak())} MB`);
    const group = await Deno.readTextFile(`/proc/${server.pid}/cgroup`);
    assert.match(group, /cutcache-test-/, "the server ran within the group");
  });
});
