import type { Target } from "../../tools/compile_model/compile.ts";
import { type OnnxNode, writeOnnx } from "./onnx_writer.ts";

/** Numbers between −1 and 1 that are the same each time (Park and Miller's generator). */
export function randomNumbers(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = state * 48271 % 2147483647;
    return state / 1073741823.5 - 1;
  });
}

/** Puts together a network of the U²-Net family, node by node. */
export class NetworkBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly #constants: Parameters<typeof writeOnnx>[0]["constants"] = {};
  readonly #dims: number[];
  #names = 0;

  constructor(width: number, height: number) {
    this.#dims = [1, 3, height, width];
  }

  node(op: string, inputs: string[], attributes?: OnnxNode["attributes"]): string {
    const output = `${op}_${++this.#names}`;
    this.nodes.push({ op, inputs, output, attributes });
    return output;
  }

  constant(dims: number[], values: Float32Array | bigint[]): string {
    const name = `constant_${++this.#names}`;
    this.#constants[name] = { dims, values };
    return name;
  }

  conv(
    input: string,
    [outputs, inputs]: [number, number],
    { kernel = 3, dilation = 1, stride = 1, bias = true } = {},
  ): string {
    const seed = ++this.#names, count = inputs * kernel ** 2, padding = (kernel >> 1) * dilation;
    // Scaled so that values neither grow nor vanish from layer to layer.
    const values = randomNumbers(outputs * count, seed).map((value) => value * Math.sqrt(6 / count));
    const weights = this.constant([outputs, inputs, kernel, kernel], values);
    const biases = bias ? [this.constant([outputs], randomNumbers(outputs, seed + 1000))] : [];
    return this.node("Conv", [input, weights, ...biases], {
      kernel_shape: [kernel, kernel],
      dilations: [dilation, dilation],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
    });
  }

  pool(input: string): string {
    return this.node("MaxPool", [input], { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0], ceil_mode: 1 });
  }

  resize(input: string, dims: number[]): string {
    const none = this.constant([0], new Float32Array());
    const sizes = this.constant([4], dims.map(BigInt));
    return this.node("Resize", [input, none, none, sizes], {
      mode: "linear",
      coordinate_transformation_mode: "pytorch_half_pixel",
    });
  }

  /** The file, and what its manifest says of it. */
  finish(output: string): { file: Uint8Array<ArrayBuffer>; target: Target } {
    const [, , height, width] = this.#dims;
    const input = { name: "image", dims: this.#dims };
    const file = writeOnnx({ input, output, nodes: this.nodes, constants: this.#constants });
    return { file, target: { input: { name: "image", width, height }, output: { name: output } } };
  }
}

/** A network with all that the compiled backend runs, of odd sizes and channels: 45×37 pixels. */
export function smallNetwork(): { file: Uint8Array<ArrayBuffer>; target: Target } {
  const net = new NetworkBuilder(45, 37);
  const relu = (input: string) => net.node("Relu", [input]);
  const first = relu(net.conv("image", [10, 3]));
  const pooled = net.pool(first);
  const strided = relu(net.conv(first, [12, 10], { stride: 2 }));
  const dilated = [2, 4, 8].map((dilation) => relu(net.conv(pooled, [9, 10], { dilation })));
  const joined = net.node("Concat", [strided, ...dilated], { axis: 1 });
  const mixed = relu(net.conv(joined, [16, 12 + 27], { kernel: 1 }));
  const deep = net.pool(mixed);
  const back = net.resize(deep, [1, 16, 19, 23]);
  const sum = net.node("Add", [net.conv(back, [16, 16]), net.conv(mixed, [16, 16], { bias: false })]);
  const residual = net.node("Add", [relu(sum), mixed]);
  const doubled = net.node("Add", [residual, back]);
  const up = net.resize(doubled, [1, 16, 37, 45]);
  const wide = relu(net.conv(net.node("Concat", [up, first], { axis: 1 }), [24, 26]));
  const doubleSized = relu(net.conv(net.resize(net.pool(wide), [1, 24, 38, 46]), [8, 24]));
  const maps = [
    net.conv(wide, [1, 24]),
    net.conv(doubled, [1, 16]),
    net.conv(deep, [1, 16]),
    net.conv(doubleSized, [1, 8]),
  ];
  const sized = maps.map((map, i) => i === 0 ? map : net.resize(map, [1, 1, 37, 45]));
  const fused = net.conv(net.node("Concat", sized, { axis: 1 }), [1, 4], { kernel: 1 });
  return net.finish(net.node("Sigmoid", [fused]));
}
