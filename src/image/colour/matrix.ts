import type { Chromaticities } from "./tag.ts";

/** Three rows of three. */
export type Matrix = readonly [Vector, Vector, Vector];
export type Vector = readonly [number, number, number];

/** sRGB and BT.709 (IEC 61966-2-1; ITU-T H.273, code point 1). */
export const SRGB: Chromaticities = {
  white: [0.3127, 0.329],
  red: [0.64, 0.33],
  green: [0.3, 0.6],
  blue: [0.15, 0.06],
};

/** Cone responses (K. Lam, "Metamerism and Colour Constancy", 1985), in which ICC profiles adapt one white to another. */
const BRADFORD: Matrix = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];

/** ICC's D50 (ICC.1:2022, 7.2.16). */
const D50: Vector = [0.9642, 1, 0.8249];

/** Linear light of a display with these primaries to linear light of sRGB; both display their white as white. */
export function toLinearSrgb(chromaticities: Chromaticities): Matrix {
  const adapted = multiply(adaptation(xyz(chromaticities.white), xyz(SRGB.white)), rgbToXyz(chromaticities));
  return multiply(invert(rgbToXyz(SRGB)), adapted);
}

/** XYZ relative to D50, as in ICC profiles, to linear light of sRGB. */
export function d50ToLinearSrgb(): Matrix {
  return multiply(invert(rgbToXyz(SRGB)), adaptation(D50, xyz(SRGB.white)));
}

/** SMPTE RP 177: the primaries, scaled so that all of them together are the white. */
function rgbToXyz({ white, red, green, blue }: Chromaticities): Matrix {
  const primaries = transpose([xyz(red), xyz(green), xyz(blue)]);
  return scaleColumns(primaries, apply(invert(primaries), xyz(white)));
}

function adaptation(from: Vector, to: Vector): Matrix {
  const [source, target] = [apply(BRADFORD, from), apply(BRADFORD, to)];
  const gains = source.map((value, i) => target[i] / value) as unknown as Vector;
  return multiply(scaleColumns(invert(BRADFORD), gains), BRADFORD);
}

function xyz([x, y]: readonly [number, number]): Vector {
  return [x / y, 1, (1 - x - y) / y];
}

export function apply(matrix: Matrix, [x, y, z]: Vector): Vector {
  return matrix.map((row) => row[0] * x + row[1] * y + row[2] * z) as unknown as Vector;
}

export function multiply(left: Matrix, right: Matrix): Matrix {
  return transpose(transpose(right).map((column) => apply(left, column)) as unknown as Matrix);
}

export function transpose(m: Matrix): Matrix {
  return [0, 1, 2].map((i) => m.map((row) => row[i])) as unknown as Matrix;
}

function scaleColumns(matrix: Matrix, factors: Vector): Matrix {
  return matrix.map((row) => row.map((value, i) => value * factors[i])) as unknown as Matrix;
}

/** By cofactors. */
function invert(m: Matrix): Matrix {
  const cofactor = (row: number, column: number) => {
    const [r1, r2, c1, c2] = [(row + 1) % 3, (row + 2) % 3, (column + 1) % 3, (column + 2) % 3];
    return m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1];
  };
  const determinant = [0, 1, 2].reduce((sum, i) => sum + m[0][i] * cofactor(0, i), 0);
  return [0, 1, 2].map((i) => [0, 1, 2].map((j) => cofactor(j, i) / determinant)) as unknown as Matrix;
}
