import type { Size } from "../../base/layout.ts";
import type { Pixels } from "../../base/pixels.ts";
import { borrowKernels, type KernelMemory } from "../../image/kernels.ts";
import { type CellGrid, type Cells, planeView, shrinkToCells } from "./cells.ts";
import { type Problem, solveAlpha } from "./closed_form.ts";
import { upsampleAlpha } from "./upsample_alpha.ts";

export const HAIR = {
  area: 110_000,
  radius: 4,
  uncertain: 0.04,
  maskWeight: 0.01,
  colourWeight: 0.03,
  contrast: 0.05,
  sigma: 0.05,
  near: 3,
  far: 16,
  farWeight: 0.1,
  exponent: 8,
  floor: 0,
  plateau: 0.1,
  plateauFrom: 0.5,
  plateauTo: 0.9,
  low: 0.03,
  maxUnknown: 0.5,
  epsilon: 1e-6,
  iterations: 30,
  halvings: 2,
  tolerance: 1e-8,
};
export const times: Record<string, number> = {};

export function matteHair(
  image: Pixels,
  alpha: Uint8Array<ArrayBuffer>,
  mask: Size,
  P = HAIR,
): Uint8Array<ArrayBuffer> | undefined {
  const scale = Math.min(1, Math.sqrt(P.area / (image.width * image.height)));
  const size = {
    width: Math.max(1, Math.round(image.width * scale)),
    height: Math.max(1, Math.round(image.height * scale)),
  };
  using memory = borrowKernels();
  const t0 = performance.now();
  const cells = shrinkToCells(memory, image, alpha, size);
  const t1 = performance.now();
  const bands = planeView(memory, cells.grid, cells.mask);
  let share = 0;
  const band = unknownBand(cells.grid, bands, mask, P);
  for (const value of band) share += value;
  if (share === 0) return alpha;
  if (share > P.maxUnknown * size.width * size.height) return undefined;
  const solved = solveAlpha(
    memory,
    cells,
    (level, problem, scratch) => pose(memory, mask, level, problem, scratch, P),
    P,
  );
  const t2 = performance.now();
  const result = alpha.slice();
  upsampleAlpha(memory, image, result, cells, solved, P.low);
  const t3 = performance.now();
  Object.assign(times, { down: t1 - t0, solve: t2 - t1, up: t3 - t2, bytes: memory.bytes.length, unknown: share });
  return result;
}

function unknownBand(grid: CellGrid, mask: Float32Array, size: Size, P: typeof HAIR, doubts?: Float32Array): Float32Array {
  const { width, height, stride } = grid;
  const rx = Math.max(1, Math.round((P.radius * width) / size.width));
  const ry = Math.max(1, Math.round((P.radius * height) / size.height));
  const across = new Float32Array(width * height);
  const clampX = (x: number) => Math.min(width - 1, Math.max(0, x));
  const clampY = (y: number) => Math.min(height - 1, Math.max(0, y));
  for (let y = 0; y < height; y++) {
    const at = y * stride;
    const doubt = (x: number) => 4 * mask[at + clampX(x)] * (1 - mask[at + clampX(x)]);
    let sum = 0;
    for (let x = -rx; x <= rx; x++) sum += doubt(x);
    for (let x = 0; x < width; x++) {
      across[y * width + x] = sum;
      sum += doubt(x + rx + 1) - doubt(x - rx);
    }
  }
  const columns = new Float64Array(width);
  const unknown = new Float32Array(stride * height);
  for (let y = -ry; y <= ry; y++) for (let x = 0; x < width; x++) columns[x] += across[clampY(y) * width + x];
  const limit = P.uncertain * (2 * rx + 1) * (2 * ry + 1);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (columns[x] > limit) unknown[y * stride + x] = 1;
      if (doubts) doubts[y * stride + x] = columns[x] * P.uncertain / limit;
      columns[x] += across[clampY(y + ry + 1) * width + x] - across[clampY(y - ry) * width + x];
    }
  }
  return unknown;
}

function pose(memory: KernelMemory, size: Size, cells: Cells, problem: Problem, scratch: number, P: typeof HAIR): void {
  const { grid } = cells;
  const { width, height, stride } = grid;
  const mask = planeView(memory, grid, cells.mask);
  const doubt = new Float32Array(stride * height);
  problem.unknown.set(unknownBand(grid, mask, size, P, doubt));
  const count = width * height;
  const bytes = count * 16;
  const [front, back, source, near, far] = [0, 1, 2, 3, 4].map((i) => scratch + i * bytes);
  const rowScratch = scratch + 5 * bytes;
  const [r, g, b] = [0, 1, 2].map((c) => planeView(memory, grid, cells.colours + c * grid.plane));
  const vectors = (address: number) => new Float32Array(memory.run.memory.buffer, address, count * 4);
  const reach = (radius: number) =>
    [
      Math.max(1, Math.round((radius * width) / size.width)),
      Math.max(1, Math.round((radius * height) / size.height)),
    ] as const;
  const S = vectors(source), N = vectors(near), R = vectors(far);
  if (P.colourWeight > 0) {
    for (const layer of [0, 1]) {
      for (let y = 0, o = 0; y < height; y++) {
        for (let x = 0, i = y * stride; x < width; x++, i++, o += 4) {
          const m = layer === 0 ? mask[i] : 1 - mask[i];
          const w = m ** 2 ** 1 === 0 ? 0 : ((m * m) ** 2) ** 2;
          S[o] = w * r[i];
          S[o + 1] = w * g[i];
          S[o + 2] = w * b[i];
          S[o + 3] = w;
        }
      }
      const zero = () => memory.bytes.fill(0, rowScratch, rowScratch + width * 16);
      zero();
      memory.run.sumWindows(source, near, width, height, ...reach(P.near), rowScratch);
      zero();
      memory.run.sumWindows(source, far, width, height, ...reach(P.far), rowScratch);
      const to = vectors(layer === 0 ? front : back);
      for (let o = 0; o < to.length; o += 4) {
        const known = R[o + 3] > 1e-2;
        to[o + 3] = known ? 1 : 0;
        if (!known) continue;
        const f = P.farWeight / R[o + 3];
        const n = 1 / (Math.max(0, N[o + 3]) + P.farWeight);
        to[o] = (N[o] + f * R[o]) * n;
        to[o + 1] = (N[o + 1] + f * R[o + 1]) * n;
        to[o + 2] = (N[o + 2] + f * R[o + 2]) * n;
      }
    }
  }
  const F = vectors(front), B = vectors(back);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0, i = y * stride; x < width; x++, i++, o += 4) {
      const m = mask[i];
      if (problem.unknown[i] === 0) {
        problem.alpha[i] = m > 0.5 ? 1 : 0;
        continue;
      }
      problem.alpha[i] = m;
      const flat = Math.min(1, Math.max(0, (doubt[i] - P.plateauFrom) / (P.plateauTo - P.plateauFrom)));
      let weight = P.maskWeight * (2 * m - 1) ** 2 + P.floor + P.plateau * flat * flat;
      let sum = weight * m;
      if (P.colourWeight > 0 && F[o + 3] > 0 && B[o + 3] > 0) {
        const dr = F[o] - B[o], dg = F[o + 1] - B[o + 1], db = F[o + 2] - B[o + 2];
        const er = r[i] - B[o], eg = g[i] - B[o + 1], eb = b[i] - B[o + 2];
        const dd = dr * dr + dg * dg + db * db;
        const a = Math.min(1, Math.max(0, (dr * er + dg * eg + db * eb) / Math.max(dd, 1e-4)));
        const rest = (er - a * dr) ** 2 + (eg - a * dg) ** 2 + (eb - a * db) ** 2;
        const q = ((P.colourWeight * dd) / (dd + P.contrast)) * Math.exp(-rest / (2 * P.sigma ** 2));
        weight += q;
        sum += q * a;
      }
      weight += 1e-6;
      sum += 1e-6 * m;
      problem.weight[i] = weight;
      problem.target[i] = sum / weight;
    }
  }
}
