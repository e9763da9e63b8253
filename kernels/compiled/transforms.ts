/*
 * The one-dimensional transforms of Winograd's minimal filtering F(m, 3) for m = 2, 4, 6 (Lavin and Gray, Fast Algorithms
 * for Convolutional Neural Networks, 2016; for m = 6 with the points 0, ±1, ±2, ±½, ∞). Each applies to `count` columns: it
 * reads values `stride` bytes apart and writes the results `step` bytes apart; `next` and `toNext` lead to the next column.
 */
import { multiplyAdd, multiplySubtract } from "./vector";

// In memory because V8 builds a constant vector from a general register each time, even in a loop.
const HALF = memory.data<f32>([0.5]);
const QUARTER = memory.data<f32>([0.25]);
const EIGHTH = memory.data<f32>([0.125]);
const SIXTEENTH = memory.data<f32>([0.0625]);
const THIRTY_SECOND = memory.data<f32>([0.03125]);
const TWO = memory.data<f32>([2]);
const FOUR = memory.data<f32>([4]);
const FIVE = memory.data<f32>([5]);
const EIGHT = memory.data<f32>([8]);
const SIXTEEN = memory.data<f32>([16]);
const THIRTY_TWO = memory.data<f32>([32]);
const FIVE_FOURTHS = memory.data<f32>([1.25]);
const FIVE_HALVES = memory.data<f32>([2.5]);
const SEVENTEEN_FOURTHS = memory.data<f32>([4.25]);
const TWENTY_ONE_FOURTHS = memory.data<f32>([5.25]);

// @ts-ignore: decorator
@inline
function add(a: v128, b: v128): v128 {
  return f32x4.add(a, b);
}

// @ts-ignore: decorator
@inline
function subtract(a: v128, b: v128): v128 {
  return f32x4.sub(a, b);
}

/** 4 values to 4. */
export function input2(from: usize, stride: usize, next: usize, to: usize, step: usize, toNext: usize, count: i32): void {
  for (; count > 0; count--, from += next, to += toNext) {
    let at = from;
    const d0 = v128.load(at);
    const d1 = v128.load(at += stride);
    const d2 = v128.load(at += stride);
    const d3 = v128.load(at += stride);
    at = to;
    v128.store(at, subtract(d0, d2));
    v128.store(at += step, add(d1, d2));
    v128.store(at += step, subtract(d2, d1));
    v128.store(at += step, subtract(d1, d3));
  }
}

/** 6 values to 6. */
export function input4(from: usize, stride: usize, next: usize, to: usize, step: usize, toNext: usize, count: i32): void {
  const two = v128.load32_splat(TWO), four = v128.load32_splat(FOUR), five = v128.load32_splat(FIVE);
  for (; count > 0; count--, from += next, to += toNext) {
    let at = from;
    const d0 = v128.load(at);
    const d1 = v128.load(at += stride);
    const d2 = v128.load(at += stride);
    const d3 = v128.load(at += stride);
    const d4 = v128.load(at += stride);
    const d5 = v128.load(at += stride);
    at = to;
    v128.store(at, multiplyAdd(d0, four, multiplySubtract(d2, five, d4)));
    let even = multiplySubtract(d2, four, d4), odd = multiplySubtract(d1, four, d3);
    v128.store(at += step, add(even, odd));
    v128.store(at += step, subtract(even, odd));
    even = subtract(d4, d2);
    odd = subtract(d3, d1);
    v128.store(at += step, multiplyAdd(odd, two, even));
    v128.store(at += step, multiplySubtract(odd, two, even));
    v128.store(at += step, multiplyAdd(d1, four, multiplySubtract(d3, five, d5)));
  }
}

/** 8 values to 8. */
export function input6(from: usize, stride: usize, next: usize, to: usize, step: usize, toNext: usize, count: i32): void {
  const quarter = v128.load32_splat(QUARTER), half = v128.load32_splat(HALF), two = v128.load32_splat(TWO);
  const four = v128.load32_splat(FOUR), five = v128.load32_splat(FIVE);
  const fiveFourths = v128.load32_splat(FIVE_FOURTHS), fiveHalves = v128.load32_splat(FIVE_HALVES);
  const seventeenFourths = v128.load32_splat(SEVENTEEN_FOURTHS);
  const twentyOneFourths = v128.load32_splat(TWENTY_ONE_FOURTHS);
  for (; count > 0; count--, from += next, to += toNext) {
    let at = from;
    const d0 = v128.load(at);
    const d1 = v128.load(at += stride);
    const d2 = v128.load(at += stride);
    const d3 = v128.load(at += stride);
    const d4 = v128.load(at += stride);
    const d5 = v128.load(at += stride);
    const d6 = v128.load(at += stride);
    const d7 = v128.load(at += stride);
    at = to;
    v128.store(at, multiplyAdd(subtract(d4, d2), twentyOneFourths, subtract(d0, d6)));
    let even = multiplySubtract(d4, seventeenFourths, add(d2, d6));
    let odd = multiplySubtract(d3, seventeenFourths, add(d1, d5));
    v128.store(at += step, add(even, odd));
    v128.store(at += step, subtract(even, odd));
    even = multiplySubtract(d4, fiveFourths, multiplyAdd(d2, quarter, d6));
    odd = multiplyAdd(d5, two, multiplySubtract(d3, fiveHalves, f32x4.mul(d1, half)));
    v128.store(at += step, add(even, odd));
    v128.store(at += step, subtract(even, odd));
    even = multiplySubtract(d4, five, multiplyAdd(d2, four, d6));
    odd = multiplyAdd(d1, two, multiplySubtract(d3, fiveHalves, f32x4.mul(d5, half)));
    v128.store(at += step, add(even, odd));
    v128.store(at += step, subtract(even, odd));
    v128.store(at += step, multiplyAdd(subtract(d3, d5), twentyOneFourths, subtract(d7, d1)));
  }
}

/** 4 values to 2. */
export function output2(from: usize, stride: usize, next: usize, to: usize, step: usize, toNext: usize, count: i32): void {
  for (; count > 0; count--, from += next, to += toNext) {
    let at = from;
    const d0 = v128.load(at);
    const d1 = v128.load(at += stride);
    const d2 = v128.load(at += stride);
    const d3 = v128.load(at += stride);
    v128.store(to, add(add(d0, d1), d2));
    v128.store(to + step, subtract(subtract(d1, d2), d3));
  }
}

/** 6 values to 4. */
export function output4(from: usize, stride: usize, next: usize, to: usize, step: usize, toNext: usize, count: i32): void {
  const two = v128.load32_splat(TWO), four = v128.load32_splat(FOUR), eight = v128.load32_splat(EIGHT);
  for (; count > 0; count--, from += next, to += toNext) {
    let at = from;
    const d0 = v128.load(at);
    const d1 = v128.load(at += stride);
    const d2 = v128.load(at += stride);
    const d3 = v128.load(at += stride);
    const d4 = v128.load(at += stride);
    const d5 = v128.load(at += stride);
    const sum1 = add(d1, d2), sum2 = add(d3, d4), difference1 = subtract(d1, d2), difference2 = subtract(d3, d4);
    at = to;
    v128.store(at, add(add(d0, sum1), sum2));
    v128.store(at += step, multiplyAdd(difference2, two, difference1));
    v128.store(at += step, multiplyAdd(sum2, four, sum1));
    v128.store(at += step, add(multiplyAdd(difference2, eight, difference1), d5));
  }
}

/** 8 values to 6. */
export function output6(from: usize, stride: usize, next: usize, to: usize, step: usize, toNext: usize, count: i32): void {
  const half = v128.load32_splat(HALF), quarter = v128.load32_splat(QUARTER), eighth = v128.load32_splat(EIGHTH);
  const sixteenth = v128.load32_splat(SIXTEENTH), thirtySecond = v128.load32_splat(THIRTY_SECOND);
  const two = v128.load32_splat(TWO), four = v128.load32_splat(FOUR), eight = v128.load32_splat(EIGHT);
  const sixteen = v128.load32_splat(SIXTEEN), thirtyTwo = v128.load32_splat(THIRTY_TWO);
  for (; count > 0; count--, from += next, to += toNext) {
    let at = from;
    const d0 = v128.load(at);
    const d1 = v128.load(at += stride);
    const d2 = v128.load(at += stride);
    const d3 = v128.load(at += stride);
    const d4 = v128.load(at += stride);
    const d5 = v128.load(at += stride);
    const d6 = v128.load(at += stride);
    const d7 = v128.load(at += stride);
    const sum1 = add(d1, d2), sum2 = add(d3, d4), sum3 = add(d5, d6);
    const difference1 = subtract(d1, d2), difference2 = subtract(d3, d4), difference3 = subtract(d5, d6);
    at = to;
    v128.store(at, add(add(d0, sum1), add(sum2, sum3)));
    v128.store(at += step, multiplyAdd(difference3, half, multiplyAdd(difference2, two, difference1)));
    v128.store(at += step, multiplyAdd(sum3, quarter, multiplyAdd(sum2, four, sum1)));
    v128.store(at += step, multiplyAdd(difference3, eighth, multiplyAdd(difference2, eight, difference1)));
    v128.store(at += step, multiplyAdd(sum3, sixteenth, multiplyAdd(sum2, sixteen, sum1)));
    v128.store(
      at += step,
      add(d7, multiplyAdd(difference3, thirtySecond, multiplyAdd(difference2, thirtyTwo, difference1))),
    );
  }
}
