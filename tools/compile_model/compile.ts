import {
  type ConvStep,
  paddedChannels,
  type Plan,
  sourcesOf,
  type Step,
  tensorBytes,
} from "../../src/inference/model/plan.ts";
import { tileCount } from "../../src/inference/compiled/winograd.ts";
import type { Manifest } from "../../src/inference/model/manifest.ts";
import { sha256 } from "../../src/base/hash.ts";
import { type Conv, fuse, type Operation } from "./fuse.ts";
import { readOnnx } from "./onnx.ts";
import { place } from "./place.ts";
import { inferShapes, nodesFor } from "./shapes.ts";

/** What the compiler takes from a model's manifest. */
export type Target = Pick<Manifest, "input" | "output">;

/**
 * Compiles an ONNX file of the U²-Net family.
 * @throws {UnsupportedError} naming the first node that the compiled backend cannot run.
 */
export async function compileModel(
  file: Uint8Array<ArrayBuffer>,
  target: Target,
  tile?: ConvStep["tile"],
): Promise<Plan> {
  const graph = readOnnx(file);
  const { width, height, name: input = graph.inputs[0].name } = target.input;
  const output = target.output?.name ?? graph.outputs[0];
  const shapes = inferShapes(nodesFor(graph, output), graph.constants, input, [1, 3, height, width]);
  const operations = fuse(shapes, graph.constants, output);
  const names = [input, ...operations.map(({ to }) => to)];
  const index = new Map(names.map((name, i) => [name, i]));
  const maps = new Set(operations.filter(({ op }) => op === "map" || op === "blend").map(({ to }) => to));
  const tensors = names.map((name) => {
    const [, channels, height, width] = shapes.dims.get(name)!;
    return { height, width, channels, ...(maps.has(name) && { map: true }) };
  });
  const steps = operations.map((operation) => toStep(operation, index, tensors, tile));
  const last = steps.length;
  const lifetimes = tensors.map((tensor, i) => ({
    bytes: tensorBytes(tensor),
    from: i - 1,
    to: names[i] === output ? last : steps.findLastIndex((step) => sourcesOf(step).includes(i)),
  }));
  const { at, bytes } = place(lifetimes);
  return {
    version: 1,
    model: await sha256(file),
    input,
    output,
    arena: bytes,
    tensors: tensors.map((tensor, i) => ({ ...tensor, at: at[i] })),
    steps,
  };
}

type Size = Pick<Plan["tensors"][number], "height" | "width" | "channels">;

function toStep(
  { from: names, to: name, ...rest }: Operation,
  index: Map<string, number>,
  tensors: readonly Size[],
  tile?: ConvStep["tile"],
): Step {
  const from = names.map((name) => index.get(name)!), to = index.get(name)!;
  if (rest.op === "conv") {
    const { add, ...conv } = rest as Omit<Conv, "from" | "to">;
    const inputs = from.reduce((sum, source) => sum + paddedChannels(tensors[source].channels), 0);
    return {
      ...conv,
      from,
      to,
      ...(add !== undefined && { add: index.get(add)! }),
      tile: rest.kernel === 3 && rest.stride === 1 ? tile ?? chooseTile(inputs, tensors[to], rest.dilation) : 0,
    };
  }
  if (rest.op === "add" || rest.op === "blend") return { ...rest, from, to } as Step;
  return { ...rest, from: from[0], to } as Step;
}

/**
 * What else a convolution costs, in multiplications: reading a weight from memory, transforming a value in or out of
 * Winograd's form, and gathering one. Measured on an Intel Xeon with 2 MB of second-level cache a core.
 */
const COST = { weight: 24, transform: 12, gather: 24 };

/** The tile of Winograd's form that takes the least time, or 0 if gathering takes less. */
function chooseTile(inputs: number, { height, width, channels }: Size, dilation: number): ConvStep["tile"] {
  const columns = Math.ceil(channels / 8) * 8, weights = inputs * columns;
  const wholeSixes = (rows: number) => Math.ceil(rows / 6) * 6;
  const winograd = (m: number) => {
    const rows = wholeSixes(tileCount(width, height, dilation, m));
    return (m + 2) ** 2 * (rows * (weights + COST.transform * (inputs + columns)) + COST.weight * weights);
  };
  const gathered = 9 *
    (wholeSixes(width * height) * (weights + COST.gather * (inputs + columns / 9)) + COST.weight * weights);
  const options = [[6, winograd(6)], [4, winograd(4)], [2, winograd(2)], [0, gathered]] as const;
  return options.reduce((best, option) => option[1] < best[1] ? option : best)[0];
}
