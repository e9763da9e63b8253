import type { ConvStep, Step } from "../../src/inference/model/plan.ts";
import type { Constant, Node } from "./onnx.ts";
import { list, type Shapes, UnsupportedError } from "./shapes.ts";

/** A step of the plan, with tensors by their names in the ONNX file. */
type Named<S> = S extends Step ? Omit<S, "from" | "to" | "add" | "tile"> & { from: string[]; to: string } : never;
export type Conv = Named<ConvStep> & { add?: string };
export type Operation = Conv | Named<Exclude<Step, ConvStep>>;
type Blend = Extract<Operation, { op: "blend" }>;

/**
 * Translates nodes into steps, with as few tensors written as possible: a convolution takes in the joining of its sources,
 * the sum with another convolution, ReLU and a residual; a blend of maps takes in their resizing and the sigmoid.
 * @throws {UnsupportedError} for a node that no step does.
 */
export function fuse({ nodes, dims }: Shapes, constants: Map<string, Constant>, output: string): Operation[] {
  return new Fusion(dims, constants, nodes, output).run();
}

class Fusion {
  readonly #dims: Map<string, number[]>;
  readonly #constants: Map<string, Constant>;
  readonly #nodes: readonly Node[];
  readonly #uses = new Map<string, number>();
  /** By what they write, in the order in which they run. */
  readonly #operations = new Map<string, Operation>();
  /** Tensors that are others joined along the channels, and are never written. */
  readonly #joined = new Map<string, string[]>();
  /** Maps that are others resized, and are never written: a blend resizes. */
  readonly #resizedMaps = new Map<string, string>();

  constructor(dims: Map<string, number[]>, constants: Map<string, Constant>, nodes: readonly Node[], output: string) {
    this.#dims = dims;
    this.#constants = constants;
    this.#nodes = nodes;
    for (const name of [output, ...nodes.flatMap(({ inputs }) => inputs)]) {
      this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    }
  }

  run(): Operation[] {
    for (const node of this.#nodes) this.#translate(node);
    return [...this.#operations.values()];
  }

  #translate(node: Node): void {
    const [to] = node.outputs, [from] = node.inputs;
    switch (node.op) {
      case "Conv":
        return this.#convolution(node);
      case "Relu":
        return this.#relu(node);
      case "Add":
        return this.#add(node);
      case "Sigmoid":
        return this.#sigmoid(node);
      case "Concat":
        if (node.attributes.axis !== 1) {
          throw new UnsupportedError(node, "it joins along another axis than the channels");
        }
        return void this.#joined.set(to, node.inputs.flatMap((name) => this.#joined.get(name) ?? [name]));
      case "MaxPool":
        this.#checkPool(node);
        return this.#emit({ op: "maxPool", from: [this.#written(node, from)], to });
      case "Resize":
        checkResize(node);
        if (this.#isMap(from)) return void this.#resizedMaps.set(to, from);
        return this.#emit({ op: "resize", from: [this.#written(node, from)], to });
    }
    throw new UnsupportedError(node, "this operator is not supported");
  }

  #emit(operation: Operation): void {
    this.#operations.set(operation.to, operation);
  }

  /** Takes out the step that writes `name` if one other reads it, to become part of that one. */
  #absorb<Op extends Operation["op"]>(name: string, op: Op): Extract<Operation, { op: Op }> | undefined {
    const operation = this.#operations.get(name);
    if (operation?.op !== op || this.#uses.get(name) !== 1) return undefined;
    return operation as Extract<Operation, { op: Op }>;
  }

  #replace(old: Operation[], operation: Operation): void {
    for (const { to } of old) this.#operations.delete(to);
    this.#emit(operation);
  }

  /** A tensor that a step reads as it is. */
  #written(node: Node, name: string): string {
    if (this.#joined.has(name)) throw new UnsupportedError(node, "only convolutions take joined tensors");
    if (this.#isMap(name)) throw new UnsupportedError(node, "only blends take tensors of one channel");
    return name;
  }

  #isMap(name: string): boolean {
    const op = this.#operations.get(name)?.op;
    return op === "map" || op === "blend" || this.#resizedMaps.has(name);
  }

  #convolution(node: Node): void {
    const [input, weightName, biasName] = node.inputs, [to] = node.outputs;
    const weight = this.#constants.get(weightName)!, bias = biasName ? this.#constants.get(biasName) : undefined;
    const [outputs, inputs, kernel] = weight.dims;
    const [stride] = list(node, "strides", [1]), [dilation] = list(node, "dilations", [1]);
    checkConvolution(node, weight.dims);
    if (biasName && bias?.at === undefined) {
      throw new UnsupportedError(node, "its bias is no float32 constant of the file");
    }
    const from = this.#joined.get(input) ?? [input];
    const { name } = node, biases = bias ? [bias.at!] : [];
    if (from.every((source) => this.#isMap(source))) {
      if (outputs !== 1 || kernel !== 1) {
        throw new UnsupportedError(node, "maps are only blended, by one 1×1 convolution");
      }
      return this.#emit({
        op: "blend",
        from: from.map((source) => this.#resizedMaps.get(source) ?? source),
        to,
        weights: weight.values,
        bias: bias?.values[0] ?? 0,
        sigmoid: false,
      });
    }
    for (const source of from) this.#written(node, source);
    if (outputs === 1 && kernel === 3 && stride === 1 && dilation === 1 && from.length === 1) {
      return this.#emit({ op: "map", name, from, to, weights: weight.at!, biases });
    }
    let first = 0;
    const weights = from.map((source) => {
      const part = { at: weight.at!, inputs, first };
      first += this.#dims.get(source)![1];
      return part;
    });
    this.#emit({ op: "conv", name, from, to, weights, biases, kernel: kernel as 1 | 3, stride, dilation, relu: false });
  }

  #relu(node: Node): void {
    const conv = this.#absorb(node.inputs[0], "conv");
    if (conv === undefined || conv.relu || conv.add !== undefined) {
      throw new UnsupportedError(node, "it does not follow a convolution that nothing else reads");
    }
    this.#replace([conv], { ...conv, relu: true, to: node.outputs[0] });
  }

  #add(node: Node): void {
    const [to] = node.outputs;
    const convs = node.inputs.map((name) => this.#absorb(name, "conv"));
    const [a, b] = convs;
    if (
      a && b && isPlain(a) && isPlain(b) && a.kernel === b.kernel && a.stride === b.stride && a.dilation === b.dilation
    ) {
      return this.#replace([a, b], {
        ...a,
        from: [...a.from, ...b.from],
        weights: [...a.weights, ...b.weights],
        biases: [...a.biases, ...b.biases],
        to,
      });
    }
    const blends = node.inputs.map((name) => this.#absorb(name, "blend"));
    if (blends.every((blend) => blend !== undefined && !blend.sigmoid)) {
      const [c, d] = blends as [Blend, Blend];
      return this.#replace([c, d], {
        ...c,
        from: [...c.from, ...d.from],
        weights: [...c.weights, ...d.weights],
        bias: c.bias + d.bias,
        to,
      });
    }
    const index = convs.findIndex((conv) => conv !== undefined && conv.add === undefined);
    if (index < 0) {
      return this.#emit({ op: "add", from: node.inputs.map((name) => this.#written(node, name)), to });
    }
    const conv = convs[index]!;
    this.#replace([conv], { ...conv, add: this.#written(node, node.inputs[1 - index]), to });
  }

  #sigmoid(node: Node): void {
    const [from] = node.inputs, [to] = node.outputs;
    if (!this.#isMap(from)) throw new UnsupportedError(node, "it is not that of a map");
    const blend = this.#absorb(from, "blend");
    if (blend && !blend.sigmoid) return this.#replace([blend], { ...blend, sigmoid: true, to });
    this.#emit({ op: "blend", from: [this.#resizedMaps.get(from) ?? from], to, weights: [1], bias: 0, sigmoid: true });
  }

  #checkPool(node: Node): void {
    const [, , height, width] = this.#dims.get(node.inputs[0])!;
    const whole = node.attributes.ceil_mode === 1 || (height % 2 === 0 && width % 2 === 0);
    const square = [["kernel_shape", 2], ["strides", 2], ["pads", 0]] as const;
    if (!whole || square.some(([name, value]) => list(node, name, [value]).some((other) => other !== value))) {
      throw new UnsupportedError(node, "only 2×2 with a stride of 2 is supported");
    }
  }
}

function isPlain(conv: Conv): boolean {
  return !conv.relu && conv.add === undefined;
}

function checkConvolution(node: Node, [, , height, width]: number[]): void {
  const [dilation, dilationX = dilation] = list(node, "dilations", [1]);
  const [stride, strideX = stride] = list(node, "strides", [1]);
  const padding = dilation * (height >> 1);
  if ((height !== 1 && height !== 3) || height !== width) {
    throw new UnsupportedError(node, `a kernel of ${height}×${width} is not supported`);
  }
  if ((node.attributes.group ?? 1) !== 1) throw new UnsupportedError(node, "groups are not supported");
  if (dilation !== dilationX || stride !== strideX) throw new UnsupportedError(node, "its axes differ");
  if (list(node, "pads", [0]).some((pad) => pad !== padding) || (node.attributes.auto_pad ?? "NOTSET") !== "NOTSET") {
    throw new UnsupportedError(node, "only padding that keeps the size is supported");
  }
}

function checkResize(node: Node): void {
  const { mode = "nearest", coordinate_transformation_mode: rule = "half_pixel" } = node.attributes;
  if (mode !== "linear" || (rule !== "half_pixel" && rule !== "pytorch_half_pixel")) {
    throw new UnsupportedError(node, `${mode} by the rule ${rule} is not supported`);
  }
}
