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
  /** Mean absolute error (of 255) of the colours on four backgrounds. */
  readonly composite: number;
}

const SIGMA = 1.4;
const NEW_BACKGROUNDS = [[255, 0, 255], [0, 255, 0], [0, 80, 255], [255, 255, 255]] as const;

/** @param cutout RGBA, height×width×4. */
export function score(scene: Scene, cutout: Uint8Array): Score {
  const { alpha: truth, foreground, image: { width, height } } = scene;
  const alpha = cutout.filter((_, i) => i % 4 === 3);
  const [a, b] = [alpha, truth].map((channel) => gradient(channel, width, height));
  let error = 0;
  for (const colour of NEW_BACKGROUNDS) {
    const [made, real] = [over(cutout, alpha, colour), over(foreground, truth, colour)];
    for (let i = 0; i < made.length; i++) error += Math.abs(made[i] - real[i]);
  }
  return {
    ...alphaErrors(alpha, truth),
    gradient: a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / 1e3,
    composite: error / (alpha.length * 3 * NEW_BACKGROUNDS.length),
  };
}

/** How far alpha is from the truth, both 0–255. */
export function alphaErrors(alpha: Uint8Array, truth: Uint8Array): Pick<Score, "mse" | "mae"> {
  let [absolute, squared] = [0, 0];
  for (let i = 0; i < alpha.length; i++) {
    const difference = (alpha[i] - truth[i]) / 255;
    absolute += Math.abs(difference);
    squared += difference * difference;
  }
  return { mse: (squared / alpha.length) * 1e4, mae: (absolute / alpha.length) * 1e4 };
}

/** The magnitude of the gradient of a smoothed alpha, 0–1. */
function gradient(alpha: Uint8Array, width: number, height: number): Float64Array {
  const smooth = blurred(alpha, width, height, SIGMA);
  const magnitudes = new Float64Array(smooth.length);
  for (let y = 0, i = 0; y < height; y++) {
    const [above, below] = [y > 0 ? width : 0, y < height - 1 ? width : 0];
    for (let x = 0; x < width; x++, i++) {
      const [left, right] = [x > 0 ? 1 : 0, x < width - 1 ? 1 : 0];
      const [dx, dy] = [smooth[i + right] - smooth[i - left], smooth[i + below] - smooth[i - above]];
      magnitudes[i] = Math.sqrt(dx * dx + dy * dy) / 510;
    }
  }
  return magnitudes;
}
