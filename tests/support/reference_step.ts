import { paddedChannels, type Plan, type Step } from "../../src/inference/model/plan.ts";

/** The values of a tensor, by row, column and channel; 0 outside of it. */
type Read = (y: number, x: number, channel: number) => number;

/** Computes steps of a plan in float64, one pixel at a time, from tensors in memory. */
export class ReferenceSteps {
  readonly #plan: Plan;
  readonly #file: DataView;
  readonly #arena: Float32Array;

  /** @param arena the memory that tensors lie in, from its beginning. */
  constructor(plan: Plan, file: Uint8Array, arena: Float32Array) {
    this.#plan = plan;
    this.#file = new DataView(file.buffer, file.byteOffset, file.byteLength);
    this.#arena = arena;
  }

  read(tensor: number): Read {
    const { width, height, channels, at, map } = this.#plan.tensors[tensor];
    const step = map ? 1 : paddedChannels(channels);
    return (y, x, channel) =>
      y < 0 || x < 0 || y >= height || x >= width ? 0 : this.#arena[at / 4 + (y * width + x) * step + channel];
  }

  /** The channels of one pixel of a step's output. */
  pixel(step: Step, y: number, x: number): number[] {
    const { channels, height, width } = this.#plan.tensors[step.to];
    switch (step.op) {
      case "conv": {
        const add = step.add === undefined ? () => 0 : this.read(step.add);
        return Array.from({ length: channels }, (_, output) => {
          let sum = this.#bias(step.biases, output);
          for (const [i, source] of step.from.entries()) {
            const { at, inputs, first } = step.weights[i];
            const taps = step.kernel ** 2;
            for (let input = 0; input < this.#plan.tensors[source].channels; input++) {
              const weights = at + 4 * ((output * inputs + first + input) * taps);
              sum += this.#taps(source, weights, step.kernel, y * step.stride, x * step.stride, step.dilation, input);
            }
          }
          return (step.relu ? Math.max(0, sum) : sum) + add(y, x, output);
        });
      }
      case "map": {
        let sum = this.#bias(step.biases, 0);
        for (let input = 0; input < this.#plan.tensors[step.from].channels; input++) {
          sum += this.#taps(step.from, step.weights + 36 * input, 3, y, x, 1, input);
        }
        return [sum];
      }
      case "maxPool": {
        const from = this.#plan.tensors[step.from], read = this.read(step.from);
        const rows = [2 * y, Math.min(2 * y + 1, from.height - 1)],
          columns = [2 * x, Math.min(2 * x + 1, from.width - 1)];
        return Array.from(
          { length: channels },
          (_, channel) => Math.max(...rows.flatMap((row) => columns.map((column) => read(row, column, channel)))),
        );
      }
      case "resize":
        return Array.from({ length: channels }, (_, c) => this.#resized(step.from, y, x, c, height, width));
      case "add":
        return Array.from(
          { length: channels },
          (_, c) => step.from.reduce((sum, tensor) => sum + this.read(tensor)(y, x, c), 0),
        );
      case "blend": {
        const sum = step.from.reduce(
          (sum, tensor, i) => sum + step.weights[i] * this.#resized(tensor, y, x, 0, height, width),
          step.bias,
        );
        return [step.sigmoid ? 1 / (1 + Math.exp(-sum)) : sum];
      }
    }
  }

  #bias(biases: number[], output: number): number {
    return biases.reduce((sum, at) => sum + this.#file.getFloat32(at + 4 * output, true), 0);
  }

  #taps(
    source: number,
    weights: number,
    kernel: number,
    y: number,
    x: number,
    dilation: number,
    channel: number,
  ): number {
    const read = this.read(source), half = kernel >> 1;
    let sum = 0;
    for (let tapY = 0; tapY < kernel; tapY++) {
      for (let tapX = 0; tapX < kernel; tapX++) {
        const weight = this.#file.getFloat32(weights + 4 * (tapY * kernel + tapX), true);
        sum += weight * read(y + (tapY - half) * dilation, x + (tapX - half) * dilation, channel);
      }
    }
    return sum;
  }

  #resized(tensor: number, y: number, x: number, channel: number, height: number, width: number): number {
    const from = this.#plan.tensors[tensor], read = this.read(tensor);
    const exactY = Math.max((y + 0.5) * from.height / height - 0.5, 0), top = Math.floor(exactY);
    const exactX = Math.max((x + 0.5) * from.width / width - 0.5, 0), left = Math.floor(exactX);
    const bottom = Math.min(top + 1, from.height - 1), right = Math.min(left + 1, from.width - 1);
    const mix = (a: number, b: number, share: number) => a + (b - a) * share;
    const across = (row: number) => mix(read(row, left, channel), read(row, right, channel), exactX - left);
    return mix(across(top), across(bottom), exactY - top);
  }
}
