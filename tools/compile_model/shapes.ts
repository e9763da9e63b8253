import type { Constant, Graph, Node } from "./onnx.ts";

/** What is known of a graph's values before it runs. */
export interface Shapes {
  /** Of tensors. */
  readonly dims: Map<string, number[]>;
  /** The nodes that compute tensors; those that compute shapes have done so. */
  readonly nodes: Node[];
}

/** A node that the compiler cannot translate. */
export class UnsupportedError extends Error {
  override readonly name = "UnsupportedError";

  constructor({ op, name }: Pick<Node, "op" | "name">, why: string) {
    super(`${op} ${name}: ${why}`);
  }
}

/** Those that compute tensors; `fold` has those that compute shapes. */
const OPERATORS = new Set(["Conv", "MaxPool", "Concat", "Resize", "Relu", "Sigmoid", "Add"]);

/** Drops all that `output` does not depend on. */
export function nodesFor(graph: Graph, output: string): Node[] {
  const needed = new Set([output]);
  const nodes = graph.nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((name) => needed.has(name))) return false;
    for (const name of inputs) needed.add(name);
    return true;
  });
  return nodes.toReversed();
}

/**
 * Infers the shapes of all tensors, and computes whatever depends on shapes alone: exports carry hundreds of nodes that ask
 * a tensor for its size to resize another to it.
 * @throws {UnsupportedError} for an operator that is not known.
 */
export function inferShapes(
  nodes: readonly Node[],
  constants: Map<string, Constant>,
  input: string,
  dims: number[],
): Shapes {
  const shapes = new Map([[input, dims]]);
  const known = new Map([...constants].map(([name, { values }]) => [name, values]));
  const kept = nodes.filter((node) => {
    const values = fold(node, shapes, known);
    if (values !== undefined) {
      known.set(node.outputs[0], values);
      return false;
    }
    shapes.set(node.outputs[0], outputDims(node, shapes, known, constants));
    return true;
  });
  return { dims: shapes, nodes: kept };
}

/** The values that a node computes of shapes and constants; undefined for one that computes a tensor. */
function fold(node: Node, shapes: Map<string, number[]>, known: Map<string, number[]>): number[] | undefined {
  const { op, attributes } = node;
  if (op === "Constant") return (attributes.value as Constant).values;
  if (op === "Shape") return shapes.get(node.inputs[0]);
  const inputs = node.inputs.map((name) => known.get(name));
  const [data, ...rest] = inputs;
  if (data === undefined || inputs.includes(undefined)) return undefined;
  switch (op) {
    case "Cast":
    case "Identity":
    case "Unsqueeze":
    case "Squeeze":
      return data;
    case "Gather":
      return rest[0]!.map((index) => data.at(index)!);
    case "Slice": {
      const [[start], [end]] = rest as number[][];
      return data.slice(start, end);
    }
    case "Concat":
      return inputs.flatMap((values) => values!);
  }
  return undefined;
}

function outputDims(
  node: Node,
  shapes: Map<string, number[]>,
  known: Map<string, number[]>,
  constants: Map<string, Constant>,
): number[] {
  if (!OPERATORS.has(node.op)) throw new UnsupportedError(node, "this operator is not supported");
  const input = shapes.get(node.inputs[0]);
  if (input === undefined) throw new UnsupportedError(node, "its input is no tensor of the network");
  const [batch, channels, height, width] = input;
  switch (node.op) {
    case "Conv": {
      const weights = constants.get(node.inputs[1]);
      if (weights?.at === undefined) {
        throw new UnsupportedError(node, "its weights are no float32 constant of the file");
      }
      const [stride] = list(node, "strides", [1]);
      return [batch, weights.dims[0], Math.ceil(height / stride), Math.ceil(width / stride)];
    }
    case "MaxPool":
      return [batch, channels, Math.ceil(height / 2), Math.ceil(width / 2)];
    case "Concat":
      return [batch, node.inputs.reduce((sum, name) => sum + (shapes.get(name)?.[1] ?? NaN), 0), height, width];
    case "Resize": {
      const [, , scales, sizes] = node.inputs.map((name) => known.get(name));
      if (sizes !== undefined && sizes.length === 4) return sizes;
      if (scales !== undefined && scales.length === 4) {
        return input.map((size, axis) => Math.floor(size * scales[axis]));
      }
      throw new UnsupportedError(node, "its size is not known before it runs");
    }
    case "Relu":
    case "Sigmoid":
      return input;
    case "Add":
      if (node.inputs.some((name) => shapes.get(name)?.join() !== input.join())) {
        throw new UnsupportedError(node, "its operands are not tensors of one shape");
      }
      return input;
  }
  throw new UnsupportedError(node, "this operator is not supported");
}

/** An attribute that is a list of numbers. */
export function list(node: Node, name: string, otherwise: number[]): number[] {
  return (node.attributes[name] as number[] | undefined) ?? otherwise;
}
