/* 3×3 covariance matrices of colours, four at a time. */

/** The results of {@link factorise}: three coefficients, then the reciprocals of three pivots. */
export const factor = memory.data(6 * 16, 16);

/**
 * Factorises symmetric positive matrices as L D Lᵀ (Golub, Van Loan, "Matrix Computations", 4.1.2). An inverse by cofactors
 * loses all digits of f32 where colours lie on a line, as they do at every clean edge.
 */
// @ts-ignore: decorator
@inline
export function factorise(rr: v128, rg: v128, rb: v128, gg: v128, gb: v128, bb: v128): void {
  const one = f32x4.splat(1);
  const least = f32x4.splat(1e-12);
  const red = f32x4.div(one, f32x4.max(rr, least));
  const rg1 = f32x4.mul(rg, red), rb1 = f32x4.mul(rb, red);
  const green = f32x4.div(one, f32x4.max(f32x4.sub(gg, f32x4.mul(rg1, rg)), least));
  const rest = f32x4.sub(gb, f32x4.mul(rg1, rb));
  const gb1 = f32x4.mul(rest, green);
  const blue = f32x4.div(
    one,
    f32x4.max(f32x4.sub(f32x4.sub(bb, f32x4.mul(rb1, rb)), f32x4.mul(gb1, rest)), least),
  );
  v128.store(factor, rg1);
  v128.store(factor, rb1, 16);
  v128.store(factor, gb1, 32);
  v128.store(factor, red, 48);
  v128.store(factor, green, 64);
  v128.store(factor, blue, 80);
}
