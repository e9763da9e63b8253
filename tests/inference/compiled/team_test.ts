import assert from "node:assert/strict";
import { kernelModule } from "../../../src/inference/compiled/kernel_module.ts";
import { Network, type TeamOptions, type Wake } from "../../../src/inference/compiled/network.ts";
import type { ThreadMessage } from "../../../src/inference/compiled/thread.ts";
import { compileModel } from "../../../tools/compile_model/compile.ts";
import { randomNumbers, smallNetwork } from "../../support/small_network.ts";

const THREADS = 3;

const { file, target } = smallNetwork();
const { width, height } = target.input;
const plan = await compileModel(file, target);

/** Different images, by number. */
const image = (seed: number) => randomNumbers(3 * width * height, seed);

interface TestTeam {
  network: Network;
  infer(seed: number): Float32Array;
  workers: Worker[];
}

/** A network with threads in workers, which are ended when `use` is done. */
async function withTeam(thread: string, use: (team: TestTeam) => Promise<void> | void, options?: TeamOptions) {
  const network = new Network(await kernelModule(), plan, file, THREADS, options);
  const url = new URL(`../../support/pausing_thread_worker.ts${thread}`, import.meta.url).href;
  const workers = Array.from({ length: THREADS - 1 }, () => new Worker(url, { type: "module" }));
  const ports = workers.map((worker) => {
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port1, [port1]);
    return port2;
  });
  const wake: Wake = (run, program) => {
    for (const port of ports) port.postMessage({ network: "small", run, program } satisfies ThreadMessage);
  };
  try {
    await Promise.all(ports.map((port, i) =>
      new Promise((ready) => {
        port.onmessage = ready;
        port.postMessage({ network: "small", seat: { ...network.seat, thread: i + 1 } } satisfies ThreadMessage);
      })
    ));
    network.prepare(wake);
    await use({ network, infer: (seed) => network.infer(image(seed), wake), workers });
  } finally {
    for (const port of ports) port.close();
    for (const worker of workers) worker.terminate();
  }
}

async function oneThread(): Promise<Network> {
  const network = new Network(await kernelModule(), plan, file, 1);
  network.prepare(() => {});
  return network;
}

Deno.test("compiled threads › 1,000 inferences with random delays have the bits of one thread's", async () => {
  const alone = await oneThread();
  const expected = Array.from({ length: 8 }, (_, seed) => alone.infer(image(seed + 1), () => {}));
  const attended = new Set<number>();
  await withTeam("?random", ({ network, infer }) => {
    for (let i = 0; i < 1000; i++) {
      assert.deepEqual(infer(i % 8 + 1), expected[i % 8], `inference ${i}`);
      for (let thread = 0; thread < THREADS; thread++) if (network.attended(thread)) attended.add(thread);
    }
  }, {
    pause: () => Math.random() < 0.02 && Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random()),
  });
  assert.equal(attended.size, THREADS);
});

Deno.test("compiled threads › a thread that hangs within a block ends the run with an error", async () => {
  const inferring = withTeam("?hang", ({ infer }) => {
    for (let i = 0; i < 100; i++) infer(1);
  }, { stallMs: 300 });
  await assert.rejects(inferring, /a thread has not finished its part of /);
});

Deno.test("compiled threads › a thread that is gone is noticed, and masks stay right meanwhile", async () => {
  const [expected] = [(await oneThread()).infer(image(1), () => {})];
  await withTeam("", async ({ network, infer, workers }) => {
    for (let i = 0; i < 50; i++) infer(1);
    workers[1].terminate();
    while (network.absentThread() === undefined) {
      assert.deepEqual(infer(1), expected);
      // The other thread's messages come in between.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(network.absentThread(), 2);
  });
});
