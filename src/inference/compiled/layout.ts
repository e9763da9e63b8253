import { type ConvStep, paddedChannels, type Plan, tensorBytes } from "../model/plan.ts";
import { tileCount } from "./winograd.ts";

/** What a convolution needs to know of its place in memory and its division into blocks. */
export interface ConvLayout {
  readonly weights: number;
  readonly bias: number;
  /** Inputs that are multiplied for one row of the product. */
  readonly depth: number;
  /** Outputs, in whole eights. */
  readonly columns: number;
  readonly planes: number;
  /** Rows of the product in all: tiles, or pixels. */
  readonly rows: number;
  /** Rows of one block of work, a multiple of 6. */
  readonly blockRows: number;
  /** Bytes from one plane of a block's inputs to the next, and the same of its outputs. */
  readonly inputPlane: number;
  readonly outputPlane: number;
}

/** Where everything lies in the memory that the threads share; all in bytes. */
export interface Layout {
  /** Numbers by which the threads divide the work. */
  readonly counters: number;
  /** By thread: the run that it takes part in. */
  readonly attendance: number;
  /** By the side of a tile: its matrix G. */
  readonly matrices: Readonly<Record<number, number>>;
  /** By the index of a step. */
  readonly convolutions: Readonly<Record<number, ConvLayout>>;
  /** By the index of a step: a convolution to a map. */
  readonly maps: Readonly<Record<number, { weights: number; bias: number }>>;
  /** The model's input, as three planes. */
  readonly planes: number;
  /** By thread: room for tiles and rows on their way, and after `blocks` bytes, for one block of work. */
  readonly scratch: readonly number[];
  readonly blocks: number;
  readonly arena: number;
  /** Where the model file lies while its weights are prepared: in the arena, which nothing else uses by then. */
  readonly file: number;
  readonly bytes: number;
}

/** A block's inputs and outputs stay in a core's second-level cache, together with the weights of one plane. */
const BLOCK_BYTES = 800_000;

/** More gain nothing. */
const MAX_BLOCK_ROWS = 96;

/** Counters of one step: blocks that have been taken, and blocks that are done. */
export const COUNTERS = 2;

/** Places all that a plan needs, from `base` on. */
export function layOut(plan: Plan, fileBytes: number, threads: number, base: number): Layout {
  let end = base;
  const reserve = (bytes: number): number => {
    const address = end;
    end = Math.ceil((end + bytes) / 64) * 64;
    return address;
  };
  const counters = reserve((plan.steps.length + 1) * COUNTERS * 4), attendance = reserve(threads * 4);
  const matrices = { 2: reserve(4 * 24), 4: reserve(6 * 24), 6: reserve(8 * 24) };
  const convolutions: Record<number, ConvLayout> = {}, maps: Record<number, { weights: number; bias: number }> = {};
  let blockBytes = 0, patchBytes = 0;
  for (const [index, step] of plan.steps.entries()) {
    if (step.op === "map") {
      const weights = reserve(9 * paddedChannels(plan.tensors[step.from].channels) * 4);
      maps[index] = { weights, bias: reserve(4) };
    }
    if (step.op !== "conv") continue;
    const shape = convShape(plan, step, threads);
    const weights = reserve(shape.planes * shape.depth * shape.columns * 4), bias = reserve(shape.columns * 4);
    convolutions[index] = { ...shape, weights, bias };
    blockBytes = Math.max(blockBytes, shape.planes * (shape.inputPlane + shape.outputPlane));
    // A tile, and the pixels that one at an edge is copied to.
    patchBytes = Math.max(patchBytes, shape.planes * (16 + shape.depth * 4));
  }
  const longestRow = Math.max(...plan.tensors.map((tensor) => tensorBytes(tensor) / tensor.height));
  const [{ width, height }] = plan.tensors;
  const planes = reserve(3 * width * height * 4);
  const blocks = Math.ceil(Math.max(patchBytes, longestRow) / 64 + 1) * 64;
  const scratch = Array.from({ length: threads }, () => reserve(blocks + blockBytes));
  const arena = reserve(Math.max(plan.arena, fileBytes));
  // Kernels read whole vectors, up to 12 bytes beyond the last row of a map.
  reserve(64);
  return {
    counters,
    attendance,
    matrices,
    convolutions,
    maps,
    planes,
    scratch,
    blocks,
    arena,
    file: arena,
    bytes: end,
  };
}

function convShape(plan: Plan, step: ConvStep, threads: number): Omit<ConvLayout, "weights" | "bias"> {
  const { width, height, channels } = plan.tensors[step.to];
  const sources = step.from.reduce((sum, source) => sum + paddedChannels(plan.tensors[source].channels), 0);
  const columns = Math.ceil(channels / 8) * 8;
  const [depth, planes, rows] = step.tile === 0
    ? [sources * step.kernel ** 2, 1, width * height]
    : [sources, (step.tile + 2) ** 2, tileCount(width, height, step.dilation, step.tile)];
  const inCache = Math.floor(BLOCK_BYTES / (planes * (depth + columns) * 4) / 6) * 6;
  // Enough blocks that no thread waits long for another one's last.
  const shared = Math.ceil(rows / (threads * 4) / 6) * 6;
  const blockRows = Math.max(6, Math.min(inCache, MAX_BLOCK_ROWS, shared));
  // Not quite a power of two, so that planes do not compete for the same lines of the cache.
  const [inputPlane, outputPlane] = [depth, columns].map((length) => blockRows * length * 4 + 64);
  return { depth, columns, planes, rows, blockRows, inputPlane, outputPlane };
}
