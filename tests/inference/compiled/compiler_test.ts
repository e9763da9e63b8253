import assert from "node:assert/strict";
import { planSchema, sourcesOf, tensorBytes } from "../../../src/inference/model/plan.ts";
import { loadModel } from "../../../src/inference/model/manifest.ts";
import { planText } from "../../../tools/compile_model.ts";
import { compileModel } from "../../../tools/compile_model/compile.ts";
import { NetworkBuilder, smallNetwork } from "../../support/small_network.ts";

const file = (name: string) => new URL(`../../../static/${name}`, import.meta.url);

for (const name of ["model", "models/u2netp-fast"]) {
  Deno.test(`model compiler › ${name}.plan.json is what its model compiles to`, async () => {
    const { manifest, bytes, sha256 } = await loadModel(file(`${name}.onnx`), file(`${name}.json`));
    const plan = await compileModel(bytes, manifest);
    assert.equal(plan.model, sha256);
    assert.equal(await Deno.readTextFile(file(`${name}.plan.json`)), planText(plan));
    assert.deepEqual(planSchema.parse(JSON.parse(planText(plan))), plan);
  });
}

Deno.test("model compiler › tensors that live at once do not overlap", async () => {
  const network = smallNetwork();
  const { steps, tensors, arena } = await compileModel(network.file, network.target);
  const lastRead = tensors.map((_, tensor) => steps.findLastIndex((step) => sourcesOf(step).includes(tensor)));
  for (const [index, step] of steps.entries()) {
    const alive = [
      ...sourcesOf(step),
      step.to,
      ...tensors.keys().filter((tensor) => {
        const written = steps.findIndex((other) => other.to === tensor);
        return written < index && lastRead[tensor] > index;
      }),
    ];
    const places = [...new Set(alive)].map((tensor) => tensors[tensor]).sort((a, b) => a.at - b.at);
    for (const [i, place] of places.entries()) {
      assert.ok(place.at + tensorBytes(place) <= (places[i + 1]?.at ?? arena), `step ${index}`);
    }
  }
});

Deno.test("model compiler › convolutions take in joins, sums, ReLU and residuals", async () => {
  const network = smallNetwork();
  const { steps } = await compileModel(network.file, network.target);
  const convolutions = steps.filter((step) => step.op === "conv");
  assert.deepEqual(convolutions.map(({ from, relu, add }) => [from.length, relu, add !== undefined]), [
    [1, true, false],
    [1, true, false],
    [1, true, false],
    [1, true, false],
    [1, true, false],
    [4, true, false],
    [2, true, true],
    [2, true, false],
    [1, true, false],
  ]);
  assert.deepEqual(steps.at(-1)!.op, "blend");
});

Deno.test("model compiler › shapes that exports compute are known beforehand", async () => {
  const net = new NetworkBuilder(8, 6);
  const features = net.node("Relu", [net.conv("image", [8, 3])]);
  const small = net.pool(features);
  const sizes = [0, 2].map((start) =>
    net.node("Slice", [
      net.node("Shape", [start === 0 ? small : features]),
      ...[start, start + 2, 0].map((value) => net.constant([1], [BigInt(value)])),
    ])
  );
  const none = net.constant([0], new Float32Array());
  const whole = net.node("Resize", [small, none, none, net.node("Concat", sizes, { axis: 0 })], { mode: "linear" });
  const { file, target } = net.finish(net.node("Sigmoid", [net.conv(whole, [1, 8])]));
  const { tensors, steps } = await compileModel(file, target);
  const { height, width } = tensors[steps.find(({ op }) => op === "resize")!.to];
  assert.deepEqual([height, width], [6, 8]);
});

const refused: Record<string, (net: NetworkBuilder, features: string) => string> = {
  "Softmax: this operator is not supported": (net, features) => net.node("Softmax", [features]),
  "Sigmoid: it is not that of a map": (net, features) => net.node("Sigmoid", [features]),
  "Conv: a kernel of 5×5 is not supported": (net, features) => net.conv(features, [8, 8], { kernel: 5 }),
  "Concat: it joins along another axis than the channels": (net, features) =>
    net.node("Concat", [features, features], { axis: 2 }),
  "MaxPool: only 2×2 with a stride of 2 is supported": (net, features) =>
    net.node("MaxPool", [features], { kernel_shape: [3, 3], strides: [2, 2] }),
  "Resize: nearest by the rule asymmetric is not supported": (net, features) => {
    const [none, sizes] = [net.constant([0], new Float32Array()), net.constant([4], [1n, 8n, 16n, 16n])];
    return net.node("Resize", [features, none, none, sizes], { coordinate_transformation_mode: "asymmetric" });
  },
};

for (const [message, add] of Object.entries(refused)) {
  Deno.test(`model compiler › refuses ${message}`, async () => {
    const net = new NetworkBuilder(8, 8);
    const output = add(net, net.conv("image", [8, 3]));
    const { op } = net.nodes.at(-1)!, [, why] = message.split(": ");
    const { file, target } = net.finish(output);
    await assert.rejects(compileModel(file, target), {
      name: "UnsupportedError",
      message: `${op} ${op} of ${output}: ${why}`,
    });
  });
}

Deno.test("model compiler › refuses a file that is no model", async () => {
  const { target } = smallNetwork();
  await assert.rejects(compileModel(new Uint8Array(), target), /no ONNX model/);
});
