/* Brings weights from the order of the model file (output, input, 3, 3) into that of product.ts. */

/**
 * Transforms 3×3 weights for Winograd's form, G g Gᵀ, in float64: eight outputs, from `output` on, of one source.
 * @param from float32 [output][input][9], any alignment
 * @param inputs of the weights in the file
 * @param firstInput of them, the first of this source
 * @param matrix G as float64 [size][3]
 * @param to [plane][output / 8][depth][8]
 * @param channel of all sources' channels, the first of this source
 */
export function winogradWeights(
  from: usize,
  outputs: i32,
  inputs: i32,
  firstInput: i32,
  channels: i32,
  output: i32,
  matrix: usize,
  size: i32,
  to: usize,
  depth: i32,
  channel: i32,
  scratch: usize,
): void {
  const planeLength = <usize> ((outputs + 7) >> 3) * <usize> depth << 5;
  const lanes = min(8, outputs - output);
  for (let input = 0; input < channels; input++) {
    const column = to + (<usize> (output >> 3) * <usize> depth + <usize> (channel + input) << 5);
    for (let lane = 0; lane < lanes; lane++) {
      const w = from + <usize> ((output + lane) * inputs + firstInput + input) * 36;
      for (let i = 0; i < size; i++) {
        const g = matrix + <usize> i * 24, row = scratch + <usize> i * 24;
        for (let x: usize = 0; x < 3; x++) {
          const at = w + (x << 2);
          store<f64>(
            row + (x << 3),
            load<f64>(g) * load<f32>(at) + load<f64>(g, 8) * load<f32>(at, 12) + load<f64>(g, 16) * load<f32>(at, 24),
          );
        }
      }
      let target = column + (<usize> lane << 2);
      for (let i = 0; i < size; i++) {
        const row = scratch + <usize> i * 24;
        const x = load<f64>(row), y = load<f64>(row, 8), z = load<f64>(row, 16);
        for (let j = 0; j < size; j++, target += planeLength) {
          const g = matrix + <usize> j * 24;
          store<f32>(target, <f32> (x * load<f64>(g) + y * load<f64>(g, 8) + z * load<f64>(g, 16)));
        }
      }
    }
  }
}

/**
 * Orders weights for gathered inputs: eight outputs, from `output` on, of one source.
 * @param from float32 [output][input][tap], any alignment
 * @param padded channels of the source's tensor, in whole vectors
 * @param to [output / 8][depth][8]
 * @param value of all sources' values, the first of this source
 */
export function gatherWeights(
  from: usize,
  outputs: i32,
  inputs: i32,
  firstInput: i32,
  channels: i32,
  padded: i32,
  taps: i32,
  output: i32,
  to: usize,
  depth: i32,
  value: i32,
): void {
  const lanes = min(8, outputs - output);
  for (let lane = 0; lane < lanes; lane++) {
    for (let input = 0; input < channels; input++) {
      let w = from + <usize> (((output + lane) * inputs + firstInput + input) * taps << 2);
      let row = (output >> 3) * depth + value + input;
      for (let tap = 0; tap < taps; tap++, w += 4, row += padded) {
        store<f32>(to + <usize> (row * 8 + lane << 2), load<f32>(w));
      }
    }
  }
}

/** Orders the 3×3 weights of one output, [input][9], by taps: [9][padded]. */
export function mapWeights(from: usize, channels: i32, padded: i32, to: usize): void {
  for (let input = 0; input < channels; input++) {
    for (let tap = 0; tap < 9; tap++, from += 4) store<f32>(to + <usize> (tap * padded + input << 2), load<f32>(from));
  }
}
