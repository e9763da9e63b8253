import { multiplyTile } from "./gemm";

/**
 * Multiplies a block of inputs with weights, once for each plane (an element of a Winograd tile; other convolutions have
 * one plane).
 * @param inputs [plane][row / 6][depth / 4][6][4]; `inputPlane` bytes a plane
 * @param weights [plane][column / 8][depth][8]
 * @param to [plane][row][column]; `toPlane` bytes a plane
 * @param groups sixes of rows
 * @param columns a multiple of 8
 */
export function multiply(
  inputs: usize,
  inputPlane: usize,
  weights: usize,
  to: usize,
  toPlane: usize,
  planes: i32,
  groups: i32,
  depth: i32,
  columns: i32,
): void {
  const rowLength = <usize> columns << 2, weightsLength = <usize> depth << 5, groupLength = <usize> depth * 24;
  for (; planes > 0; planes--, inputs += inputPlane, to += toPlane) {
    for (let column = 0; column < columns; column += 8, weights += weightsLength) {
      let a = inputs, c = to + (<usize> column << 2);
      for (let group = 0; group < groups; group++, a += groupLength, c += 6 * rowLength) {
        multiplyTile(a, weights, c, rowLength, depth >> 2);
      }
    }
  }
}
