import assert from "node:assert/strict";
import { Network } from "../../../src/inference/compiled/network.ts";
import type { ConvStep, Plan } from "../../../src/inference/model/plan.ts";
import { preprocess } from "../../../src/inference/model/preprocess.ts";
import { decode } from "../../../src/image/decode.ts";
import { compileNetworkKernels, type ModuleName, MODULES } from "../../../tools/compiled_kernels.ts";
import { gemmSource } from "../../../tools/compiled_kernels/gemm.ts";
import { compileModel } from "../../../tools/compile_model/compile.ts";
import { defaultModel } from "../../support/engine.ts";
import { fixture } from "../../support/images.ts";
import { ReferenceSteps } from "../../support/reference_step.ts";
import { NetworkBuilder, randomNumbers, smallNetwork } from "../../support/small_network.ts";

const NAMES = Object.keys(MODULES) as ModuleName[];
const shipped = (name: string) => Deno.readFile(new URL(`../../../src/inference/compiled/${name}`, import.meta.url));

/**
 * How far a step may be from float64, as parts of its output's root mean square: on average (again as root mean square),
 * and at one pixel. The convolutions of u2netp are at 2e-6 and 5e-5, but for one that has hardly any output.
 */
const TOLERANCE = { mean: 3e-5, worst: 5e-4 };

Deno.test("compiled kernels › the modules are what their sources compile to", async () => {
  const gemm = await Deno.readTextFile(new URL("../../../kernels/compiled/gemm.ts", import.meta.url));
  assert.equal(gemm, gemmSource());
  for (const name of NAMES) assert.deepEqual(await compileNetworkKernels(name), await shipped(name), name);
});

/** Runs a network step by step on one thread, and compares pixels of each step's output with float64. */
async function checkSteps(
  name: ModuleName,
  plan: Plan,
  file: Uint8Array<ArrayBuffer>,
  input: Float32Array,
  pixels: number,
): Promise<void> {
  const network = new Network(await WebAssembly.compile(await shipped(name)), plan, file, 1);
  network.prepare(() => {});
  const { memory, layout } = network.seat;
  new Float32Array(memory.buffer, layout.planes, input.length).set(input);
  const reference = new ReferenceSteps(plan, file, new Float32Array(memory.buffer, layout.arena, plan.arena / 4));
  const [first, ...tasks] = network.programs.infer;
  for (let block = 0; block < first.blocks; block++) first.run(block);
  for (const [index, step] of plan.steps.entries()) {
    for (let block = 0; block < tasks[index].blocks; block++) tasks[index].run(block);
    const { width, height, channels } = plan.tensors[step.to];
    const places = pixels >= width * height
      ? Array.from({ length: width * height }, (_, i) => i)
      : [...randomNumbers(pixels, index + 1)].map((value) => Math.floor((value + 1) / 2 * width * height));
    let square = 0, error = 0, worst = 0;
    for (const place of places) {
      const y = Math.floor(place / width), x = place % width;
      const expected = reference.pixel(step, y, x), read = reference.read(step.to);
      for (let channel = 0; channel < channels; channel++) {
        square += expected[channel] ** 2;
        const difference = Math.abs(read(y, x, channel) - expected[channel]);
        error += difference ** 2;
        worst = Math.max(worst, difference);
      }
    }
    const mean = Math.sqrt(error / square), peak = worst / Math.sqrt(square / places.length / channels);
    if (square === 0) assert.equal(worst, 0);
    else {assert.ok(
        mean <= TOLERANCE.mean && peak <= TOLERANCE.worst,
        `step ${index}, ${step.op}: ${mean}, at most ${peak}`,
      );}
  }
}

for (const name of NAMES) {
  Deno.test(`compiled kernels › ${name}: every kind of step is right to float32's precision`, async (t) => {
    const { file, target } = smallNetwork();
    const { width, height } = target.input;
    const input = randomNumbers(3 * width * height, 7);
    for (const tile of [undefined, 6, 4, 2, 0] as (ConvStep["tile"] | undefined)[]) {
      await t.step(`with ${tile ?? "chosen"} tiles`, async () => {
        await checkSteps(name, await compileModel(file, target, tile), file, input, Infinity);
      });
    }
  });

  Deno.test(`compiled kernels › ${name}: an image smaller than a tile is right`, async () => {
    for (const [width, height] of [[1, 1], [2, 9], [7, 3]]) {
      const net = new NetworkBuilder(width, height);
      const dilated = net.node("Relu", [net.conv(net.conv("image", [5, 3]), [70, 5], { dilation: 8 })]);
      const { file, target } = net.finish(net.node("Sigmoid", [net.conv(dilated, [1, 70])]));
      for (const tile of [6, 4, 2, 0] as const) {
        const plan = await compileModel(file, target, tile);
        await checkSteps(name, plan, file, randomNumbers(3 * width * height, 3), Infinity);
      }
    }
  });
}

Deno.test("compiled kernels › every step of u2netp on a photograph is right to float32's precision", async (t) => {
  const { manifest, bytes } = await defaultModel();
  const input = preprocess(await decode(fixture("chelsea.jpg"), { maxPixels: 1e7 }), manifest);
  for (const name of NAMES) {
    await t.step(name, async () => {
      await checkSteps(name, await compileModel(bytes, manifest), bytes, input, 40);
    });
  }
});
