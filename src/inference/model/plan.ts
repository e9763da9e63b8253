import { z } from "zod";
import type { Sha256Hex } from "../../base/hash.ts";

/**
 * What `tools/compile_model.ts` makes of an ONNX file: the network as a list of steps, each tensor with its place in
 * memory. The weights stay in the ONNX file, and the plan says at which byte: nothing ships twice, and the digest that
 * guards the file guards them.
 */

const size = z.int().positive();
/** A tensor by its index in `tensors`. */
const tensor = z.int().nonnegative();
/** Where float32 numbers begin in the ONNX file, in bytes. */
const offset = z.int().nonnegative();

const step = z.discriminatedUnion("op", [
  /** A convolution of one or several tensors, as if they were joined; then ReLU; then a tensor is added. */
  z.strictObject({
    op: z.literal("conv"),
    name: z.string(),
    from: z.array(tensor).min(1),
    to: tensor,
    /** For each source: float32 [output][inputs][kernel][kernel], with the source's channels from `first` on. */
    weights: z.array(z.strictObject({ at: offset, inputs: size, first: z.int().nonnegative() })).min(1),
    /** Their sum is the bias. */
    biases: z.array(offset),
    kernel: z.union([z.literal(1), z.literal(3)]),
    stride: size,
    dilation: size,
    relu: z.boolean(),
    add: tensor.optional(),
    /** The side of an output tile of Winograd's form; 0: inputs are gathered instead. */
    tile: z.union([z.literal(0), z.literal(2), z.literal(4), z.literal(6)]),
  }),
  /** A 3×3 convolution to a map. */
  z.strictObject({
    op: z.literal("map"),
    name: z.string(),
    from: tensor,
    to: tensor,
    weights: offset,
    biases: z.array(offset),
  }),
  /** 2×2, stride 2; an odd edge counts. */
  z.strictObject({ op: z.literal("maxPool"), from: tensor, to: tensor }),
  /** Bilinear, half-pixel. */
  z.strictObject({ op: z.literal("resize"), from: tensor, to: tensor }),
  z.strictObject({ op: z.literal("add"), from: z.tuple([tensor, tensor]), to: tensor }),
  /** The weighted sum of maps, each resized to the output's size; then its sigmoid. */
  z.strictObject({
    op: z.literal("blend"),
    from: z.array(tensor).min(1),
    to: tensor,
    weights: z.array(z.number()).min(1),
    bias: z.number(),
    sigmoid: z.boolean(),
  }),
]);

export const planSchema = z.strictObject({
  /** Of this schema. */
  version: z.literal(1),
  /** Of the ONNX file. */
  model: z.string().regex(/^[0-9a-f]{64}$/) as unknown as z.ZodType<Sha256Hex>,
  /** Names, as the ONNX file has them. The input is tensor 0. */
  input: z.string(),
  output: z.string(),
  /** Bytes for all tensors together. */
  arena: size,
  /** `at`: bytes from the arena's beginning. With `map`, [y][x]; else [y][x][channel], with channels in whole vectors. */
  tensors: z.array(z.strictObject({
    height: size,
    width: size,
    channels: size,
    map: z.boolean().optional(),
    at: z.int().nonnegative().multipleOf(64),
  })),
  steps: z.array(step).min(1),
});

export type Plan = z.infer<typeof planSchema>;
export type Step = Plan["steps"][number];
export type ConvStep = Extract<Step, { op: "conv" }>;
export type PlanTensor = Plan["tensors"][number];

/** Channels in whole vectors of four. */
export function paddedChannels(channels: number): number {
  return Math.ceil(channels / 4) * 4;
}

/** Bytes of a tensor in memory, in whole vectors. */
export function tensorBytes({ height, width, channels, map }: Omit<PlanTensor, "at">): number {
  return map ? Math.ceil(height * width / 4) * 16 : height * width * paddedChannels(channels) * 4;
}

/** The tensors that a step reads. */
export function sourcesOf(step: Step): number[] {
  const from = typeof step.from === "number" ? [step.from] : [...step.from];
  return step.op === "conv" && step.add !== undefined ? [...from, step.add] : from;
}
