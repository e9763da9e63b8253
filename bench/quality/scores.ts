import { blurred } from "./gaussian.ts";
import { over, type Scene } from "./scenes.ts";

/** How far a cutout is from the truth. */
export interface Score {
  /** Mean squared error of alpha (0–1), in ten-thousandths. */
  readonly mse: number;
  /** Mean absolute error of alpha, in ten-thousandths. */
  readonly mae: number;
  /** Sum of squared errors of alpha's gradient, in thousands (Rhemann et al., CVPR 2009: σ 1.4). */
  readonly gradient: number;
  /** Mean absolute error (of 255) of the translucent pixels on four colours. */
  readonly composite: number;
}

const SIGMA = 1.4;
const NEW_BACKGROUNDS = [[255, 0, 255], [0, 255, 0], [0, 80, 255], [255, 255, 255]] as const;

/** @param cutout RGBA, height×width×4. */
export function score(scene: Scene, cutout: Uint8Array): Score {
  const { alpha: truth, foreground, image: { width, height } } = scene;
  const alpha = cutout.filter((_, i) => i % 4 === 3);
  let [absolute, squared] = [0, 0];
  for (let i = 0; i < alpha.length; i++) {
    const difference = (alpha[i] - truth[i]) / 255;
    absolute += Math.abs(difference);
    squared += difference * difference;
  }
  const [a, b] = [alpha, truth].map((channel) => gradient(channel, width, height));
  const translucent = alpha.map((value, i) => isBetween(value) || isBetween(truth[i]) ? 1 : 0);
  let [error, count] = [0, 0];
  for (const colour of NEW_BACKGROUNDS) {
    const [made, real] = [over(cutout, alpha, colour), over(foreground, truth, colour)];
    for (let i = 0; i < alpha.length; i++) {
      if (translucent[i] === 0) continue;
      for (let c = i * 4; c < i * 4 + 3; c++) error += Math.abs(made[c] - real[c]);
      count += 3;
    }
  }
  return {
    mse: (squared / alpha.length) * 1e4,
    mae: (absolute / alpha.length) * 1e4,
    gradient: a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / 1e3,
    composite: count === 0 ? 0 : error / count,
  };
}

const isBetween = (value: number) => value > 0 && value < 255;

/** The magnitude of the gradient of a smoothed alpha, 0–1. */
function gradient(alpha: Uint8Array, width: number, height: number): Float64Array {
  const smooth = blurred(alpha, width, height, SIGMA);
  const at = (x: number, y: number) =>
    smooth[Math.min(height - 1, Math.max(0, y)) * width + Math.min(width - 1, Math.max(0, x))] / 255;
  return Float64Array.from(smooth, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return Math.hypot(at(x + 1, y) - at(x - 1, y), at(x, y + 1) - at(x, y - 1)) / 2;
  });
}
