import type { NetworkKernels } from "./kernels.ts";
import type { Layout } from "./layout.ts";
import { type ConvStep, paddedChannels, type Plan, type PlanTensor, type Step, tensorBytes } from "../model/plan.ts";

/** A step that all threads work at: so many blocks, in any order, each by one thread. */
export interface Task {
  readonly name: string;
  readonly blocks: number;
  run(block: number): void;
}

/** What one thread runs. */
export interface Programs {
  /** Once: brings the weights from the model file's order into the kernels'. */
  readonly prepare: readonly Task[];
  /** For each image: from the input's planes to the output's tensor. */
  readonly infer: readonly Task[];
}

/** Rows of a tensor that are one block of a step between convolutions. */
const BLOCK_ROWS = 8;

/** Pixels of one block of a step that knows no rows. */
const BLOCK_PIXELS = 4096;

/** The addresses of a plan's tensors. */
interface Place extends PlanTensor {
  readonly address: number;
  /** Channels in whole vectors. */
  readonly padded: number;
  readonly vectors: number;
}

/** Turns a plan into what one thread calls of its kernels. */
export function programsOf(plan: Plan, layout: Layout, kernels: NetworkKernels, thread: number): Programs {
  const places = plan.tensors.map((tensor): Place => {
    const padded = paddedChannels(tensor.channels);
    return { ...tensor, address: layout.arena + tensor.at, padded, vectors: padded / 4 };
  });
  const builder = new TaskBuilder(plan, layout, kernels, places, layout.scratch[thread]);
  return {
    prepare: plan.steps.flatMap((step, index) => builder.prepare(step, index)),
    infer: [builder.input(), ...plan.steps.map((step, index) => builder.infer(step, index))],
  };
}

class TaskBuilder {
  constructor(
    readonly plan: Plan,
    readonly layout: Layout,
    readonly kernels: NetworkKernels,
    readonly places: readonly Place[],
    readonly scratch: number,
  ) {}

  input(): Task {
    const { kernels, layout } = this;
    const [{ width, height, address }] = this.places;
    const count = width * height;
    return this.#inBlocks("input", count, BLOCK_PIXELS, (first, end) => {
      kernels.interleavePlanes(layout.planes + first * 4, count * 4, address + first * 16, end - first);
    });
  }

  prepare(step: Step, index: number): Task[] {
    const { kernels, layout, scratch } = this;
    if (step.op === "map") {
      const { channels, padded } = this.places[step.from];
      const run = () => kernels.mapWeights(layout.file + step.weights, channels, padded, layout.maps[index].weights);
      return [{ name: step.name, blocks: 1, run }];
    }
    if (step.op !== "conv") return [];
    const { weights, depth, columns } = layout.convolutions[index];
    const { channels: outputs } = this.places[step.to];
    const taps = step.kernel ** 2;
    const parts = this.#sources(step).map(({ channels, padded, offset }, i) => {
      const { at, inputs, first } = step.weights[i];
      const from = layout.file + at;
      return (output: number) => {
        if (step.tile === 0) {
          const value = offset * taps;
          kernels.gatherWeights(from, outputs, inputs, first, channels, padded, taps, output, weights, depth, value);
        } else {
          const matrix = layout.matrices[step.tile], size = step.tile + 2;
          kernels.winogradWeights(
            from,
            outputs,
            inputs,
            first,
            channels,
            output,
            matrix,
            size,
            weights,
            depth,
            offset,
            scratch,
          );
        }
      };
    });
    return [{ name: step.name, blocks: columns / 8, run: (block) => parts.forEach((part) => part(block * 8)) }];
  }

  infer(step: Step, index: number): Task {
    switch (step.op) {
      case "conv":
        return step.tile === 0 ? this.#gathered(step, index) : this.#winograd(step, index);
      case "map":
        return this.#map(step, index);
      case "blend":
        return this.#blend(step);
      case "add":
        return this.#add(step);
      case "maxPool":
        return this.#maxPool(step);
      case "resize":
        return this.#resize(step);
    }
  }

  /** The tensors that a convolution reads, and where in the joined channels each begins. */
  #sources({ from }: ConvStep): (Place & { offset: number })[] {
    let offset = 0;
    return from.map((source) => {
      const place = { ...this.places[source], offset };
      offset += place.padded;
      return place;
    });
  }

  #winograd(step: ConvStep, index: number): Task {
    const { kernels, scratch, layout } = this;
    const { tile, dilation } = step, relu = Number(step.relu);
    const { weights, bias, depth, columns, planes, rows, blockRows, inputPlane, outputPlane } =
      layout.convolutions[index];
    const inputs = scratch + layout.blocks, outputs = inputs + planes * inputPlane;
    const sources = this.#sources(step), to = this.places[step.to];
    const residual = step.add === undefined ? 0 : this.places[step.add].address;
    return this.#inBlocks(step.name, rows, blockRows, (first, end) => {
      const count = end - first;
      for (const { address, width, height, vectors, offset } of sources) {
        kernels.winogradInput(
          tile,
          address,
          width,
          height,
          vectors,
          dilation,
          first,
          count,
          inputs,
          inputPlane,
          depth,
          offset,
          scratch,
        );
      }
      kernels.multiply(
        inputs,
        inputPlane,
        weights,
        outputs,
        outputPlane,
        planes,
        Math.ceil(count / 6),
        depth,
        columns,
      );
      kernels.winogradOutput(
        tile,
        outputs,
        outputPlane,
        columns * 4,
        to.address,
        to.width,
        to.height,
        to.vectors,
        dilation,
        first,
        count,
        bias,
        relu,
        residual,
        scratch,
      );
    });
  }

  #gathered(step: ConvStep, index: number): Task {
    const { kernels, scratch, layout } = this;
    const { kernel, stride, dilation } = step, relu = Number(step.relu);
    const { weights, bias, depth, columns, rows, blockRows, inputPlane, outputPlane } = layout.convolutions[index];
    const inputs = scratch + layout.blocks, outputs = inputs + inputPlane;
    const sources = this.#sources(step), to = this.places[step.to];
    const residual = step.add === undefined ? undefined : this.places[step.add].address;
    return this.#inBlocks(step.name, rows, blockRows, (first, end) => {
      const count = end - first;
      for (const { address, width, height, vectors, offset } of sources) {
        kernels.gatherInput(
          kernel,
          address,
          width,
          height,
          vectors,
          stride,
          dilation,
          to.width,
          first,
          count,
          inputs,
          depth,
          offset * kernel ** 2,
        );
      }
      kernels.multiply(inputs, inputPlane, weights, outputs, outputPlane, 1, Math.ceil(count / 6), depth, columns);
      const at = first * to.padded * 4, added = residual === undefined ? 0 : residual + at;
      kernels.gatherOutput(outputs, columns * 4, to.address + at, to.vectors, count, bias, relu, added);
    });
  }

  #map(step: Extract<Step, { op: "map" }>, index: number): Task {
    const { kernels, layout } = this;
    const from = this.places[step.from], to = this.places[step.to];
    const { width, height, vectors } = from;
    const { weights, bias } = layout.maps[index];
    return this.#inBlocks(step.name, to.height, BLOCK_ROWS, (y, end) => {
      kernels.convolveToMap(from.address, width, height, vectors, weights, bias, to.address, y, end);
    });
  }

  #blend({ from, to: target, weights, bias, sigmoid }: Extract<Step, { op: "blend" }>): Task {
    const { kernels, scratch } = this;
    const to = this.places[target];
    return this.#inBlocks("blend", to.height, BLOCK_ROWS, (y, end) => {
      const address = to.address + y * to.width * 4, count = (end - y) * to.width;
      kernels.fillMap(address, bias, count);
      for (const [i, source] of from.entries()) {
        const { address, width, height } = this.places[source];
        kernels.addMap(address, width, height, weights[i], to.address, to.width, to.height, y, end, scratch);
      }
      if (sigmoid) kernels.sigmoid(address, count);
    });
  }

  #add({ from: [a, b], to }: Extract<Step, { op: "add" }>): Task {
    const bytes = tensorBytes(this.places[to]);
    const [first, second, target] = [a, b, to].map((tensor) => this.places[tensor].address);
    return this.#inBlocks("add", bytes, BLOCK_PIXELS * 16, (at, end) => {
      this.kernels.add(first + at, second + at, target + at, end - at);
    });
  }

  #maxPool({ from: source, to: target }: Extract<Step, { op: "maxPool" }>): Task {
    const from = this.places[source], to = this.places[target];
    return this.#inBlocks("maxPool", to.height, BLOCK_ROWS, (y, end) => {
      this.kernels.maxPool(from.address, from.width, from.height, from.vectors, to.address, y, end);
    });
  }

  #resize({ from: source, to: target }: Extract<Step, { op: "resize" }>): Task {
    const from = this.places[source], to = this.places[target];
    const { address, width, height, vectors } = from;
    return this.#inBlocks("resize", to.height, BLOCK_ROWS, (y, end) => {
      this.kernels.resize(address, width, height, vectors, to.address, to.width, to.height, y, end, this.scratch);
    });
  }

  #inBlocks(name: string, count: number, size: number, run: (first: number, end: number) => void): Task {
    return {
      name,
      blocks: Math.ceil(count / size),
      run: (block) => run(block * size, Math.min(count, (block + 1) * size)),
    };
  }
}
