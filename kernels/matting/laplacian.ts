/*
 * The matting Laplacian of Levin, Lischinski, Weiss ("A Closed-Form Solution to Natural Image Matting", TPAMI 2008,
 * equation 12) with windows of 3×3, and conjugate gradients with it. Planes are height×stride f32, and at least 2 rows of
 * zeros lie before and after each; of a row's `stride` values, at least the last 4 are zeros, which serve as the neighbours
 * beyond both ends. Four windows or pixels at a time.
 */

/** A pixel has 25 coefficients: its neighbours in 5×5, itself the 13th. */
const COEFFICIENTS: usize = 25;

/** The rows of D, then of Q (see `orthogonalise`): 9 of 3 components, each for four windows. */
const orthogonal = memory.data(9 * 3 * 16, 16);

/**
 * Adds the windows around the pixels 1 to width − 2 of a row to the coefficients of all pixels in them. `colours`: the row
 * in the red plane; green and blue follow `plane` bytes apart. `coefficients`: the row's 25 rows of `stride` f32, those of
 * other rows before and after them. `unknown`: the row in the plane of 1 (to be solved for) and 0; windows without such a
 * pixel are left out.
 */
export function addWindows(
  colours: usize,
  plane: usize,
  stride: usize,
  width: i32,
  unknown: usize,
  coefficients: usize,
  epsilon: f32,
): void {
  const row = stride << 2;
  const ninth = f32x4.splat(1.0 / 9.0);
  for (let x = 1; x < width - 1; x += 4) {
    const offset = <usize> x << 2;
    if (!anyNear(unknown + offset, row)) continue;
    let red = f32x4.splat(0), green = red, blue = red;
    for (let i = 0; i < 9; i++) {
      const at = colours + offset + neighbour(i, row);
      const r = v128.load(at), g = v128.load(at + plane), b = v128.load(at + 2 * plane);
      red = f32x4.add(red, r);
      green = f32x4.add(green, g);
      blue = f32x4.add(blue, b);
      setColours(i, r, g, b);
    }
    centre(f32x4.mul(red, ninth), f32x4.mul(green, ninth), f32x4.mul(blue, ninth));
    orthogonalise(f32x4.splat(sqrt<f32>(9 * epsilon)));
    const inside = i32x4.lt_s(i32x4.add(i32x4.splat(x), i32x4(0, 1, 2, 3)), i32x4.splat(width - 1));
    addPairs(coefficients + offset, row, inside);
  }
}

/** Subtracts means from the colours of windows; twice, because rounded means of almost equal colours leave a rest. */
// @ts-ignore: decorator
@inline
function centre(red: v128, green: v128, blue: v128): void {
  const ninth = f32x4.splat(1.0 / 9.0);
  for (let pass = 0; pass < 2; pass++) {
    let restRed = f32x4.splat(0), restGreen = restRed, restBlue = restRed;
    for (let at = orthogonal, end = orthogonal + 9 * 48; at < end; at += 48) {
      const r = f32x4.sub(v128.load(at), red);
      const g = f32x4.sub(v128.load(at, 16), green);
      const b = f32x4.sub(v128.load(at, 32), blue);
      v128.store(at, r);
      v128.store(at, g, 16);
      v128.store(at, b, 32);
      restRed = f32x4.add(restRed, r);
      restGreen = f32x4.add(restGreen, g);
      restBlue = f32x4.add(restBlue, b);
    }
    red = f32x4.mul(restRed, ninth);
    green = f32x4.mul(restGreen, ninth);
    blue = f32x4.mul(restBlue, ninth);
  }
}

/**
 * Makes D, the centred colours of windows (9×3), into Q with QQᵀ = D (DᵀD + 9εI)⁻¹ Dᵀ, by the modified Gram-Schmidt method on
 * D above √(9ε) I. With an inverse of the covariance matrix, f32 would make the Laplacian indefinite for small ε.
 */
// @ts-ignore: decorator
@inline
function orthogonalise(root: v128): void {
  const one = f32x4.splat(1);
  // What stands below D: of green's column first √(9ε) times −p, then √(9ε).
  let below = f32x4.mul(root, scaleColumn(0, f32x4.div(one, f32x4.sqrt(f32x4.add(product(0, 0), f32x4.mul(root, root))))));
  const green = product(0, 16);
  subtractColumn(0, 16, green);
  const green0 = f32x4.mul(f32x4.neg(green), below);
  const greenNorm = f32x4.div(
    one,
    f32x4.sqrt(f32x4.add(product(16, 16), f32x4.add(f32x4.mul(green0, green0), f32x4.mul(root, root)))),
  );
  scaleColumn(16, greenNorm);
  const green1 = f32x4.mul(root, greenNorm), green2 = f32x4.mul(green0, greenNorm);
  const blue = product(0, 32);
  subtractColumn(0, 32, blue);
  let blue0 = f32x4.mul(f32x4.neg(blue), below);
  const share = f32x4.add(product(16, 32), f32x4.mul(green2, blue0));
  subtractColumn(16, 32, share);
  blue0 = f32x4.sub(blue0, f32x4.mul(share, green2));
  const blue1 = f32x4.mul(f32x4.neg(share), green1);
  const rest = f32x4.add(
    f32x4.add(f32x4.mul(blue0, blue0), f32x4.mul(blue1, blue1)),
    f32x4.add(f32x4.mul(root, root), product(32, 32)),
  );
  scaleColumn(32, f32x4.div(one, f32x4.sqrt(rest)));
}

/** The product of two columns; these are told by their distance in bytes from the first. */
// @ts-ignore: decorator
@inline
function product(a: usize, b: usize): v128 {
  let sum = f32x4.splat(0);
  for (let at = orthogonal, end = orthogonal + 9 * 48; at < end; at += 48) {
    sum = f32x4.add(sum, f32x4.mul(v128.load(at + a), v128.load(at + b)));
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function subtractColumn(a: usize, from: usize, factor: v128): void {
  for (let at = orthogonal, end = orthogonal + 9 * 48; at < end; at += 48) {
    v128.store(at + from, f32x4.sub(v128.load(at + from), f32x4.mul(factor, v128.load(at + a))));
  }
}

/** @returns the factor. */
// @ts-ignore: decorator
@inline
function scaleColumn(column: usize, factor: v128): v128 {
  for (let at = orthogonal, end = orthogonal + 9 * 48; at < end; at += 48) {
    v128.store(at + column, f32x4.mul(v128.load(at + column), factor));
  }
  return factor;
}

/** Adds δᵢⱼ − 1/9 − qᵢ·qⱼ to the coefficients of both pixels of each pair in four windows. */
// @ts-ignore: decorator
@inline
function addPairs(coefficients: usize, row: usize, inside: v128): void {
  const distinct = f32x4.splat(-1.0 / 9.0), same = f32x4.splat(8.0 / 9.0);
  for (let i = 0; i < 9; i++) {
    const first = orthogonal + i * 48;
    const r = v128.load(first), g = v128.load(first, 16), b = v128.load(first, 32);
    const rowI = i / 3 - 1, columnI = i % 3 - 1;
    const pixelI = coefficients + <usize> (rowI * <i32> (COEFFICIENTS * row)) + <usize> (columnI << 2);
    for (let j = i; j < 9; j++) {
      const second = orthogonal + j * 48;
      const product = f32x4.add(
        f32x4.add(f32x4.mul(r, v128.load(second)), f32x4.mul(g, v128.load(second, 16))),
        f32x4.mul(b, v128.load(second, 32)),
      );
      const value = v128.and(f32x4.sub(i === j ? same : distinct, product), inside);
      const rowJ = j / 3 - 1, columnJ = j % 3 - 1;
      const step = (rowJ - rowI) * 5 + columnJ - columnI;
      const there = pixelI + <usize> (12 + step) * row;
      v128.store(there, f32x4.add(v128.load(there), value));
      if (i === j) continue;
      const back = coefficients + <usize> (rowJ * <i32> (COEFFICIENTS * row)) + <usize> (columnJ << 2) +
        <usize> (12 - step) * row;
      v128.store(back, f32x4.add(v128.load(back), value));
    }
  }
}

// @ts-ignore: decorator
@inline
function setColours(i: i32, r: v128, g: v128, b: v128): void {
  const at = orthogonal + i * 48;
  v128.store(at, r);
  v128.store(at, g, 16);
  v128.store(at, b, 32);
}

/** The distance in bytes of the i-th pixel of a window of 3×3 from its middle. */
// @ts-ignore: decorator
@inline
function neighbour(i: i32, row: usize): usize {
  return <usize> ((i / 3 - 1) * <i32> row + ((i % 3 - 1) << 2));
}

/** Whether anything is unknown in four windows side by side. */
// @ts-ignore: decorator
@inline
function anyNear(unknown: usize, row: usize): bool {
  let any = i32x4.splat(0);
  for (let dy = -1; dy <= 1; dy++) {
    const at = unknown + <usize> (dy * <i32> row);
    any = v128.or(any, v128.or(v128.load(at - 4), v128.load(at + 4)));
  }
  return v128.any_true(any);
}

/**
 * Writes A x for the pixels of all rows, with A the coefficients plus a diagonal; `spans` holds for each row the first
 * pixel and the end (i32 each).
 * @returns the product of x and A x.
 */
function multiply(
  coefficients: usize,
  diagonal: usize,
  x: usize,
  to: usize,
  stride: usize,
  height: i32,
  spans: usize,
): f64 {
  const row = stride << 2;
  let product: f64 = 0;
  for (let y = 0; y < height; y++, spans += 8) {
    const here = <usize> y * row;
    const rows = coefficients + here * COEFFICIENTS;
    const end = <usize> load<i32>(spans, 4) << 2;
    let dot = f32x4.splat(0);
    for (let at = <usize> load<i32>(spans) << 2; at < end; at += 16) {
      const own = v128.load(x + here + at);
      let sum = f32x4.mul(v128.load(diagonal + here + at), own);
      let coefficient = rows + at;
      let values = x + here + at - 2 * row - 8;
      for (let dy = 0; dy < 5; dy++, values += row) {
        const a = f32x4.mul(v128.load(coefficient), v128.load(values));
        const b = f32x4.mul(v128.load(coefficient + row), v128.load(values, 4));
        const c = f32x4.mul(v128.load(coefficient + 2 * row), v128.load(values, 8));
        const d = f32x4.mul(v128.load(coefficient + 3 * row), v128.load(values, 12));
        const e = f32x4.mul(v128.load(coefficient + 4 * row), v128.load(values, 16));
        sum = f32x4.add(sum, f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), e));
        coefficient += 5 * row;
      }
      v128.store(to + here + at, sum);
      dot = f32x4.add(dot, f32x4.mul(sum, own));
    }
    product += total(dot);
  }
  return product;
}

// @ts-ignore: decorator
@inline
function total(vector: v128): f64 {
  return <f64> f32x4.extract_lane(vector, 0) + <f64> f32x4.extract_lane(vector, 1) +
    <f64> f32x4.extract_lane(vector, 2) + <f64> f32x4.extract_lane(vector, 3);
}

/**
 * Solves (L + D) x = D t for the unknown pixels by conjugate gradients, preconditioned by the diagonal (Shewchuk, "An
 * Introduction to the Conjugate Gradient Method", 1994, B3). x holds the known values and the start. D: `weights`, t:
 * `targets`. `scratch`: 4 planes. Ends after `iterations`, or when the mean square of the next Jacobi step is under
 * `tolerance`.
 * @returns the number of iterations.
 */
export function solveUnknown(
  coefficients: usize,
  weights: usize,
  targets: usize,
  unknown: usize,
  x: usize,
  scratch: usize,
  plane: usize,
  stride: usize,
  height: i32,
  spans: usize,
  iterations: i32,
  tolerance: f64,
): i32 {
  const residual = scratch, direction = scratch + plane, product = scratch + 2 * plane, inverse = scratch + 3 * plane;
  const row = stride << 2;
  const one = f32x4.splat(1);
  const least = f32x4.splat(1e-6);
  multiply(coefficients, weights, x, product, stride, height, spans);
  let rz: f64 = 0;
  let count: f64 = 0;
  for (let y = 0; y < height; y++) {
    const here = <usize> y * row;
    const span = spans + (<usize> y << 3);
    const end = here + (<usize> load<i32>(span, 4) << 2);
    let sum = f32x4.splat(0), known = sum;
    for (let at = here + (<usize> load<i32>(span) << 2); at < end; at += 16) {
      const solved = v128.load(unknown + at);
      const weight = v128.load(weights + at);
      const own = v128.load(coefficients + here * COEFFICIENTS + 12 * row + (at - here));
      const m = f32x4.mul(solved, f32x4.div(one, f32x4.max(f32x4.add(own, weight), least)));
      const r = f32x4.mul(
        solved,
        f32x4.sub(f32x4.mul(weight, v128.load(targets + at)), v128.load(product + at)),
      );
      const z = f32x4.mul(m, r);
      v128.store(inverse + at, m);
      v128.store(residual + at, r);
      v128.store(direction + at, z);
      sum = f32x4.add(sum, f32x4.mul(r, z));
      known = f32x4.add(known, solved);
    }
    rz += total(sum);
    count += total(known);
  }
  let iteration = 0;
  while (iteration < iterations && rz > tolerance * count) {
    iteration++;
    const curvature = multiply(coefficients, weights, direction, product, stride, height, spans);
    if (curvature <= 0) break;
    const step = f32x4.splat(<f32> (rz / curvature));
    let next: f64 = 0;
    for (let y = 0; y < height; y++) {
      const here = <usize> y * row;
      const span = spans + (<usize> y << 3);
      const end = here + (<usize> load<i32>(span, 4) << 2);
      let sum = f32x4.splat(0);
      for (let at = here + (<usize> load<i32>(span) << 2); at < end; at += 16) {
        const solved = v128.load(unknown + at);
        v128.store(x + at, f32x4.add(v128.load(x + at), f32x4.mul(step, v128.load(direction + at))));
        const r = f32x4.sub(
          v128.load(residual + at),
          f32x4.mul(solved, f32x4.mul(step, v128.load(product + at))),
        );
        v128.store(residual + at, r);
        sum = f32x4.add(sum, f32x4.mul(f32x4.mul(r, r), v128.load(inverse + at)));
      }
      next += total(sum);
    }
    const keep = f32x4.splat(<f32> (next / rz));
    rz = next;
    for (let y = 0; y < height; y++) {
      const here = <usize> y * row;
      const span = spans + (<usize> y << 3);
      const end = here + (<usize> load<i32>(span, 4) << 2);
      for (let at = here + (<usize> load<i32>(span) << 2); at < end; at += 16) {
        const z = f32x4.mul(v128.load(inverse + at), v128.load(residual + at));
        v128.store(direction + at, f32x4.add(z, f32x4.mul(keep, v128.load(direction + at))));
      }
    }
  }
  return iteration;
}
