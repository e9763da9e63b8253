import assert from "node:assert/strict";
import type { Mask, Pixels } from "../../src/base/pixels.ts";
import { decode } from "../../src/image/decode.ts";
import { borrowKernels } from "../../src/image/kernels.ts";
import { planeView, shrinkToCells } from "../../src/render/matting/cells.ts";
import { solveAlpha } from "../../src/render/matting/closed_form.ts";
import { foregroundColours, recolourForeground } from "../../src/render/matting/foreground.ts";
import { matteHair } from "../../src/render/matting/hair.ts";
import { trimapOf } from "../../src/render/matting/trimap.ts";
import { matteByTrimap } from "../../src/render/matting/trimap_matting.ts";
import { renderOptionsSchema } from "../../src/render/options.ts";
import { compose } from "../../src/render/pipeline.ts";
import { fixture, PHOTOGRAPHS } from "../support/images.ts";

const limits = { maxPixels: 25_000_000 };
const mask320 = { width: 320, height: 320 };
const read = (name: string) => decode(fixture(name), limits);
const grayOf = async (name: string) => (await read(name)).data.filter((_, i) => i % 4 === 0);

function errors(alpha: Uint8Array, truth: Uint8Array): { mse: number; mae: number } {
  let [mse, mae] = [0, 0];
  alpha.forEach((value, i) => {
    const difference = (value - truth[i]) / 255;
    mse += difference ** 2 / alpha.length;
    mae += Math.abs(difference) / alpha.length;
  });
  return { mse, mae };
}

Deno.test("hair › the lemur's fur comes closer to its reference alpha than the mask", async () => {
  const [image, truth, mask] = [
    await read("lemur.png"),
    ...await Promise.all(
      ["lemur_alpha.png", "lemur.rembg-u2netp.mask.png"].map(grayOf),
    ),
  ] as [Pixels, Uint8Array, Uint8Array<ArrayBuffer>];
  const before = errors(mask, truth);
  assert.ok(before.mse > 0.0025 && before.mae > 0.01, JSON.stringify(before));
  const after = errors(matteHair(image, mask, mask320)!, truth);
  assert.ok(after.mse <= 0.0011 && after.mae <= 0.007, JSON.stringify(after));
});

/** A striped subject on the left, another colour on the right, both with noise. */
function scene(width: number, height: number): Pixels {
  const data = new Uint8Array(width * height * 4).map((_, i) => {
    if (i % 4 === 3) return 255;
    const [x, y] = [(i >> 2) % width, Math.floor((i >> 2) / width)];
    const base = x < width / 2 ? [200, 90 + (y % 7) * 9, 60] : [40, 80, 150 + (x % 5) * 6];
    return base[i % 4] + (i * 7919) % 11;
  });
  return { data, width, height };
}

const composeWith = (given: Record<string, unknown>, image: Pixels, mask: Mask) =>
  compose({ ...image, data: image.data.slice() }, mask, renderOptionsSchema.parse(given), limits);

Deno.test("hair › a mask without doubtful edges changes nothing", () => {
  const [width, height] = [96, 80];
  for (const value of [0, 255]) {
    const mask = { data: new Uint8Array(width * height).fill(value), width, height };
    assert.deepEqual(
      composeWith({ matting: "hair" }, scene(width, height), mask),
      composeWith({}, scene(width, height), mask),
    );
  }
});

Deno.test("hair › if most of the mask is doubtful, the result is that of refine", () => {
  const [width, height] = [96, 80];
  const mask = { data: new Uint8Array(width * height).fill(128), width, height };
  assert.deepEqual(
    composeWith({ matting: "hair" }, scene(width, height), mask),
    composeWith({ matting: "refine" }, scene(width, height), mask),
  );
});

Deno.test("hair › images of any proportions and sizes get an alpha of their size", () => {
  for (const [width, height] of [[1, 1], [2, 3], [1, 900], [900, 1], [49, 50], [700, 300]]) {
    const alpha = new Uint8Array(width * height).map((_, i) => {
      const at = (i % width + Math.floor(i / width)) / (width + height);
      return Math.max(0, Math.min(255, (at - 0.45) * 2550));
    });
    const image = scene(width, height);
    const result = matteHair(image, alpha, mask320);
    assert.equal(result?.length ?? alpha.length, alpha.length, `${width}×${height}`);
    recolourForeground(image, result ?? alpha);
  }
});

Deno.test("solveAlpha › the solution is that of the equation, solved directly", () => {
  const [width, height] = [14, 11];
  const image = scene(width, height);
  const known = new Uint8Array(width * height).map((_, i) => i % width < 4 ? 255 : i % width > 9 ? 0 : 128);
  using memory = borrowKernels();
  const cells = shrinkToCells(memory, image, known, { width, height });
  const { grid } = cells;
  const weight = 0.02;
  const { alpha } = solveAlpha(memory, cells, (_, problem) => {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = y * grid.stride + x;
        problem.unknown[i] = known[y * width + x] === 128 ? 1 : 0;
        problem.alpha[i] = known[y * width + x] / 255;
        problem.weight[i] = problem.unknown[i] * weight;
        problem.target[i] = 0.5;
      }
    }
  }, { epsilon: 1e-4, iterations: 500, halvings: 0, tolerance: 1e-14 });
  const solved = planeView(memory, grid, alpha);
  const expected = solveDirectly(image, known, 1e-4, weight, 0.5);
  for (let i = 0; i < expected.length; i++) {
    const value = solved[Math.floor(i / width) * grid.stride + i % width];
    assert.ok(Math.abs(value - expected[i]) < 1e-3, `cell ${i}: ${value}, not ${expected[i]}`);
  }
});

/** Levin et al.'s equation 12 as a dense matrix, and Gaussian elimination; 128 is unknown. */
function solveDirectly(
  { data, width, height }: Pixels,
  known: Uint8Array,
  epsilon: number,
  weight: number,
  target: number,
) {
  const count = width * height;
  const rows = Array.from({ length: count }, () => new Float64Array(count + 1));
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const window = Array.from({ length: 9 }, (_, k) => (y + Math.floor(k / 3) - 1) * width + x + k % 3 - 1);
      const colours = window.map((i) => [0, 1, 2].map((c) => data[i * 4 + c] / 255));
      const mean = [0, 1, 2].map((c) => colours.reduce((sum, colour) => sum + colour[c] / 9, 0));
      const centred = colours.map((colour) => colour.map((value, c) => value - mean[c]));
      const covariance = [0, 1, 2].map((a) =>
        [0, 1, 2].map((b) => centred.reduce((sum, d) => sum + d[a] * d[b] / 9, a === b ? epsilon : 0))
      );
      for (const [i, d] of centred.entries()) {
        const solved = eliminate(covariance.map((row, a) => Float64Array.from([...row, d[a]])));
        for (const [j, e] of centred.entries()) {
          const product = solved[0] * e[0] + solved[1] * e[1] + solved[2] * e[2];
          rows[window[i]][window[j]] += (i === j ? 1 : 0) - (1 + product) / 9;
        }
      }
    }
  }
  for (let i = 0; i < count; i++) {
    if (known[i] === 128) {
      rows[i][i] += weight;
      rows[i][count] = weight * target;
    } else {
      rows[i].fill(0);
      rows[i][i] = 1;
      rows[i][count] = known[i] / 255;
    }
  }
  return eliminate(rows);
}

function eliminate(rows: Float64Array[]): number[] {
  const count = rows.length;
  for (let p = 0; p < count; p++) {
    const pivot = rows.findIndex((row, i) =>
      i >= p && Math.abs(row[p]) === Math.max(...rows.slice(p).map((r) => Math.abs(r[p])))
    );
    [rows[p], rows[pivot]] = [rows[pivot], rows[p]];
    for (let i = 0; i < count; i++) {
      const factor = i === p ? 0 : rows[i][p] / rows[p][p];
      if (factor !== 0) { for (let k = p; k <= count; k++) rows[i][k] -= factor * rows[p][k]; }
    }
  }
  return rows.map((row, i) => row[count] / row[i]);
}

Deno.test("trimapOf › erodes by a square as SciPy does, and by a cross for 0", () => {
  const [width, height] = [23, 17];
  const alpha = new Uint8Array(width * height).map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x + y < 14 ? 255 : x > 18 && y > 3 ? 200 : 0;
  });
  for (const erosion of [0, 1, 2, 3, 4, 7, 40]) {
    const before = erosion >> 1;
    const square = Array.from(
      { length: erosion ** 2 },
      (_, k) => [k % erosion - before, Math.floor(k / erosion) - before],
    );
    const cross = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]];
    const eroded = (holds: (value: number) => boolean, outside: boolean, x: number, y: number) =>
      (erosion === 0 ? cross : square).every(([dx, dy]) => {
        const inside = x + dx >= 0 && y + dy >= 0 && x + dx < width && y + dy < height;
        return inside ? holds(alpha[(y + dy) * width + x + dx]) : outside;
      });
    const trimap = trimapOf(alpha, width, height, { foreground: 240, background: 10, erosion });
    for (let i = 0; i < alpha.length; i++) {
      const [x, y] = [i % width, Math.floor(i / width)];
      const expected = eroded((v) => v < 10, true, x, y) ? 0 : eroded((v) => v > 240, false, x, y) ? 255 : 128;
      assert.equal(trimap[i], expected, `erosion ${erosion}, (${x}, ${y})`);
    }
  }
  // Work does not grow with the square: a request may name any number.
  const trimaps = [1000, 1e15, Infinity].map((erosion) =>
    trimapOf(alpha, width, height, { foreground: 240, background: 10, erosion })
  );
  assert.deepEqual(trimaps[1], trimaps[0]);
  assert.deepEqual(trimaps[2], trimaps[0]);
});

Deno.test("matteByTrimap › alpha is that of rembg's alpha matting", async (t) => {
  const options = { foreground: 240, background: 10, erosion: 10 };
  for (const name of PHOTOGRAPHS) {
    await t.step(name, async () => {
      const image = await read(`${name}.jpg`);
      const mask = await grayOf(`${name}.rembg-u2netp.mask.png`);
      const expected = await grayOf(`${name}.rembg-u2netp.a.png`);
      const alpha = matteByTrimap(image, mask, options)!;
      const { mae } = errors(alpha, expected);
      assert.ok(mae <= 0.003, `mean difference ${mae}`);
      const trimap = trimapOf(mask, image.width, image.height, options);
      const band = (values: Uint8Array) => values.filter((_, i) => trimap[i] === 128);
      const inBand = errors(band(alpha), band(expected)).mae;
      assert.ok(inBand <= 0.03, `in the band ${inBand}`);
    });
  }
});

Deno.test("matteByTrimap › without a subject or a background, there is none", () => {
  const [width, height] = [30, 30];
  const options = { foreground: 240, background: 10, erosion: 3 };
  for (const value of [0, 255, 128]) {
    const alpha = new Uint8Array(width * height).fill(value);
    assert.equal(matteByTrimap(scene(width, height), alpha, options), undefined);
  }
});

Deno.test("foregroundColours › removes the background's colour from translucent pixels", () => {
  const [width, height] = [80, 40];
  const alpha = new Uint8Array(width * height).map((_, i) => Math.max(0, Math.min(255, (i % width - 30) * 12)));
  const [front, back] = [[200, 60, 40], [30, 90, 160]];
  const data = new Uint8Array(width * height * 4).map((_, i) =>
    i % 4 === 3 ? 255 : Math.round((alpha[i >> 2] * front[i % 4] + (255 - alpha[i >> 2]) * back[i % 4]) / 255)
  );
  const image = { data, width, height };
  const colours = foregroundColours(image, alpha);
  recolourForeground(image, alpha);
  alpha.forEach((value, i) => {
    if (value < 64) return;
    for (let c = 0; c < 3; c++) {
      assert.ok(Math.abs(colours[i * 4 + c] - front[c]) <= 8, `pixel ${i}: ${colours.slice(i * 4, i * 4 + 3)}`);
      if (value < 255) assert.ok(Math.abs(image.data[i * 4 + c] - front[c]) <= 12, `pixel ${i}`);
    }
  });
});

Deno.test("compose › a shadow darkens only what is below and beside the subject, as much as its opacity says", () => {
  const [width, height] = [200, 200];
  const image = scene(width, height);
  const data = new Uint8Array(width * height).map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x >= 60 && x < 140 && y >= 60 && y < 140 ? 255 : 0;
  });
  const mask = { data, width, height };
  const render = (given: Record<string, unknown>) => composeWith(given, image, mask);
  const [without, half, full] = [render({}), render({ shadow: true }), render({ shadow: true, shadow_opacity: 100 })];
  const alphaAt = ({ data }: Pixels, x: number, y: number) => data[(y * width + x) * 4 + 3];
  const middle = (100 * width + 100) * 4;
  assert.deepEqual(half.data.slice(middle, middle + 4), without.data.slice(middle, middle + 4));
  assert.deepEqual([alphaAt(half, 5, 5), alphaAt(half, 195, 195)], [0, 0]);
  assert.ok(alphaAt(half, 100, 141) > alphaAt(half, 100, 58), "more below than above");
  assert.ok(Math.abs(2 * alphaAt(half, 100, 141) - alphaAt(full, 100, 141)) <= 2);
  assert.deepEqual(half.foreground, without.foreground);
  assert.deepEqual(render({ shadow: true, shadow_opacity: 0 }).data, without.data);
  assert.deepEqual(render({ shadow: true, channels: "alpha" }), render({ channels: "alpha" }));
  const white = render({ shadow: true, background: "white" });
  assert.ok(white.data[(141 * width + 100) * 4] < 255 && white.data[(5 * width + 5) * 4] === 255);
});
