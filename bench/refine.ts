/**
 * `deno run -A bench/refine.ts` measures the benefit of the option `refine`. It draws subjects with a known alpha over the
 * tests' photographs, reduces this alpha to the resolution of a model's mask, and compares composites over new backgrounds
 * with the true ones. Then it measures the time.
 */
import { Jimp } from "jimp";
import { Buffer } from "node:buffer";
import process from "node:process";
import { decode } from "../src/image/decode.ts";
import { decontaminate } from "../src/render/matting/decontaminate.ts";
import { refineAlpha } from "../src/render/matting/refine_alpha.ts";
import { resampleGray } from "../src/image/resample.ts";
import type { Pixels } from "../src/base/pixels.ts";
import { fixture, PHOTOGRAPHS, type Rgb } from "../tests/support/images.ts";
import { resampledColours } from "../tests/support/resampled.ts";

const MASK = 320;
const SIZES = [[640, 480], [1280, 960]];
const NEW_BACKGROUNDS: Rgb[] = [[255, 255, 255], [0, 0, 0], [255, 0, 255], [0, 160, 60]];

/** A subject of known alpha in front of a photograph. Colours are height×width×4, alpha is height×width, 0–255. */
interface Scene {
  readonly name: string;
  readonly image: Pixels;
  readonly foreground: Uint8Array<ArrayBuffer>;
  readonly alpha: Uint8Array<ArrayBuffer>;
}

type Photograph = (width: number, height: number) => Uint8Array<ArrayBuffer>;

/** A photograph at any size: height×width×4. */
async function photograph(name: string): Promise<Photograph> {
  const image = await decode(fixture(`${name}.jpg`), { maxPixels: 1e6 });
  return (width, height) => resampledColours(image, width, height);
}

/** Random numbers from 0 to 1, the same in every run (G. Marsaglia, "Xorshift RNGs", 2003). */
function random(seed: number): () => number {
  return () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) / 2 ** 32;
  };
}

type Coverage = (width: number, height: number) => Uint8Array<ArrayBuffer>;

/** A shape given by its radius for each angle. Its edge is `softness` wide. Both are shares of half the height. */
function outline(radius: (angle: number) => number, softness = 0): Coverage {
  return (width, height) => {
    const alpha = new Uint8ClampedArray(width * height);
    const half = height / 2;
    const edge = Math.max(1, softness * half);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        let inside = 0;
        for (let sub = 0; sub < 16; sub++) {
          const dx = x + (sub % 4 + 0.5) / 4 - width / 2;
          const dy = y + ((sub >> 2) + 0.5) / 4 - half;
          const depth = radius(Math.atan2(dy, dx)) * half - Math.hypot(dx, dy);
          if (softness === 0) inside += depth > 0 ? 1 : 0;
          else {
            const t = Math.max(0, Math.min(1, depth / edge + 0.5));
            inside += t * t * (3 - 2 * t);
          }
        }
        alpha[i] = inside / 16 * 255;
      }
    }
    return new Uint8Array(alpha.buffer);
  };
}

/** A head with strands of hair in all directions, which thin out towards their ends. */
function hair(strands: number, seed: number): Coverage {
  return (width, height) => {
    const alpha = outline(() => 0.5)(width, height);
    const next = random(seed);
    const half = height / 2;
    for (let s = 0; s < strands; s++) {
      const start = next() * 2 * Math.PI;
      const length = (0.15 + 0.25 * next()) * half;
      const bend = (next() - 0.5) * 2.5;
      const thick = (0.004 + 0.008 * next()) * half;
      let angle = start;
      let x = width / 2 + Math.cos(start) * half * 0.48;
      let y = half + Math.sin(start) * half * 0.48;
      const steps = Math.ceil(length * 2);
      for (let i = 0; i < steps; i++) {
        x += Math.cos(angle) * 0.5;
        y += Math.sin(angle) * 0.5;
        angle += bend / steps;
        stamp(alpha, width, height, x, y, thick * (1 - i / steps) / 2);
      }
    }
    return alpha;
  };
}

/** Draws a disc of `radius` pixels at (x, y); if it is thinner than a pixel, it covers only a part of one. */
function stamp(alpha: Uint8Array, width: number, height: number, x: number, y: number, radius: number): void {
  const opacity = Math.min(1, radius * 2);
  const reach = Math.max(radius, 0.5) + 0.5;
  for (let py = Math.max(0, Math.floor(y - reach)); py <= Math.min(height - 1, y + reach); py++) {
    for (let px = Math.max(0, Math.floor(x - reach)); px <= Math.min(width - 1, x + reach); px++) {
      const cover = Math.max(0, Math.min(1, reach - Math.hypot(px + 0.5 - x, py + 0.5 - y)));
      alpha[py * width + px] = Math.max(alpha[py * width + px], Math.round(255 * opacity * cover));
    }
  }
}

const SHAPES: Record<string, Coverage> = {
  disc: outline(() => 0.7),
  leaf: outline((angle) => 0.55 + 0.12 * Math.cos(5 * angle) + 0.05 * Math.abs(((angle * 12) % 1 + 1) % 1 - 0.5)),
  hair: hair(400, 7),
  soft: outline(() => 0.65, 0.12),
};

/** Applies a photograph's light and shade to one colour, so that a subject has texture and a colour of its own. */
function tinted(photo: Uint8Array, [red, green, blue]: Rgb): Uint8Array<ArrayBuffer> {
  const tint = new Uint8ClampedArray(photo.length).fill(255);
  for (let at = 0; at < photo.length; at += 4) {
    const light = 0.5 + (photo[at] + photo[at + 1] + photo[at + 2]) / 765;
    tint[at] = red * light;
    tint[at + 1] = green * light;
    tint[at + 2] = blue * light;
  }
  return new Uint8Array(tint.buffer);
}

function over(front: Uint8Array, alpha: Uint8Array, back: Uint8Array | Rgb): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(front.length).fill(255);
  for (let i = 0; i < alpha.length; i++) {
    const a = alpha[i] / 255;
    for (let c = 0; c < 3; c++) {
      const behind = back.length === 3 ? back[c] : back[i * 4 + c];
      result[i * 4 + c] = Math.round(a * front[i * 4 + c] + (1 - a) * behind);
    }
  }
  return result;
}

async function drawScenes(width: number, height: number): Promise<Scene[]> {
  const photos: Record<string, Photograph> = {};
  for (const name of PHOTOGRAPHS) photos[name] = await photograph(name);
  const list: [shape: string, foreground: string, tint: Rgb | undefined, background: string][] = [
    ["disc", "coffee", undefined, "rocket"],
    ["disc", "chelsea", [200, 90, 60], "astronaut"],
    ["leaf", "chelsea", [70, 140, 50], "coffee"],
    ["leaf", "coffee", [70, 140, 50], "astronaut"],
    ["hair", "chelsea", [70, 45, 30], "rocket"],
    ["hair", "chelsea", [60, 40, 30], "astronaut"],
    ["hair", "coffee", [210, 180, 120], "coffee"],
    ["soft", "rocket", [190, 60, 60], "chelsea"],
    ["soft", "astronaut", undefined, "coffee"],
    ["disc", "chelsea", [140, 110, 80], "chelsea"],
    // Fur on fur: hard to tell apart.
    ["disc", "chelsea", undefined, "chelsea"],
  ];
  const scenes: Scene[] = [];
  for (const [shape, front, tint, back] of list) {
    const alpha = SHAPES[shape](width, height);
    const photo = upsideDown(photos[front](width, height));
    const foreground = tint ? tinted(photo, tint) : photo;
    const image = await asJpeg(over(foreground, alpha, photos[back](width, height)), width, height);
    scenes.push({ name: `${shape}, ${tint ? `tinted ${front}` : front} on ${back}`, image, foreground, alpha });
  }
  return scenes;
}

/** Without this, a photograph in front of itself would be the photograph. */
function upsideDown(rgba: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  new Uint32Array(rgba.buffer).reverse();
  return rgba;
}

/** The image with the artefacts of a JPEG file. */
async function asJpeg(data: Uint8Array, width: number, height: number): Promise<Pixels> {
  const image = new Jimp({ width, height, data: Buffer.from(data) });
  return await decode(new Uint8Array(await image.getBuffer("image/jpeg", { quality: 90 })), { maxPixels: 25e6 });
}

/** Alpha as a model would predict it: at the mask's resolution, in 256 steps, and blurred by `blur` pixels of the mask. */
function asModelled(alpha: Uint8Array, width: number, height: number, blur: number): Uint8Array<ArrayBuffer> {
  let mask = resampleGray(alpha, width, height, MASK, MASK);
  for (let pass = 0; pass < blur; pass++) {
    const from = mask;
    mask = from.map((_, i) => {
      const x = i % MASK, y = Math.floor(i / MASK);
      let sum = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          const at = Math.max(0, Math.min(MASK - 1, y + dy)) * MASK + Math.max(0, Math.min(MASK - 1, x + dx));
          sum += from[at] * (2 - Math.abs(dx)) * (2 - Math.abs(dy));
        }
      }
      return Math.round(sum / 16);
    });
  }
  return resampleGray(mask, MASK, MASK, width, height);
}

/** 1 for pixels of the edge: those that are translucent in the true or the modelled alpha. */
function edgeBand(scene: Scene, modelled: Uint8Array): Uint8Array {
  const { width, height } = scene.image;
  const band = new Uint8Array(width * height);
  for (let i = 0; i < band.length; i++) {
    const certain = (a: number) => a < 4 || a > 251;
    if (!certain(scene.alpha[i]) || !certain(modelled[i])) band[i] = 1;
  }
  return band;
}

interface Score {
  whole: number;
  edge: number;
}

function score(scene: Scene, band: Uint8Array, colours: Uint8Array, alpha: Uint8Array): Score {
  let all = 0, edge = 0, count = 0;
  for (const background of NEW_BACKGROUNDS) {
    for (let i = 0; i < alpha.length; i++) {
      if (alpha[i] === 0 && scene.alpha[i] === 0) continue;
      const a = alpha[i] / 255, b = scene.alpha[i] / 255;
      let difference = 0;
      for (let c = 0; c < 3; c++) {
        const back = background[c];
        difference += Math.abs(
          a * (colours[i * 4 + c] - back) - b * (scene.foreground[i * 4 + c] - back),
        );
      }
      all += difference;
      if (band[i]) {
        edge += difference;
        count++;
      }
    }
  }
  return { whole: all / alpha.length / NEW_BACKGROUNDS.length / 3, edge: edge / count / 3 };
}

type Row = Record<string, string | number>;

/** The mean absolute error of composites near the edge (of 255), with and without each half of `refine`. */
function compare(scene: Scene): Row {
  const { image, alpha } = scene;
  const modelled = asModelled(alpha, image.width, image.height, 1);
  const refined = refineAlpha(image, modelled);
  const band = edgeBand(scene, modelled);
  const pure = (alpha: Uint8Array) => {
    const data = image.data.slice();
    decontaminate({ ...image, data }, alpha);
    return data;
  };
  const mask = score(scene, band, image.data, modelled);
  const both = score(scene, band, pure(refined), refined);
  return {
    scene: scene.name,
    mask: round(mask.edge),
    "+ decontaminate": round(score(scene, band, pure(modelled), modelled).edge),
    "+ refine": round(score(scene, band, image.data, refined).edge),
    "+ both": round(both.edge),
    "true alpha": round(score(scene, band, image.data, alpha).edge),
    "true alpha + decontaminate": round(score(scene, band, pure(alpha), alpha).edge),
    "mask, whole": round(mask.whole),
    "+ both, whole": round(both.whole),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function mean(rows: Row[]): Row {
  const means: Row = { scene: "mean" };
  for (const key of Object.keys(rows[0])) {
    if (key !== "scene") means[key] = round(rows.reduce((sum, row) => sum + Number(row[key]), 0) / rows.length);
  }
  return means;
}

/** CPU time, which other work on the machine hardly affects; the best of three runs. */
function time(width: number, height: number): Row {
  const blur = width / MASK;
  const alpha = new Uint8ClampedArray(width * height);
  for (let i = 0; i < alpha.length; i++) {
    const depth = height / 3 - Math.hypot(i % width - width / 2, Math.floor(i / width) - height / 2);
    alpha[i] = 127.5 + 127.5 * depth / blur;
  }
  const modelled = new Uint8Array(alpha.buffer);
  const red = new Uint8Array(width * height * 4).map((_, i) => i % 4 === 0 ? 200 : (i * 7919) % 40);
  const image = { data: over(red, modelled, [30, 90, 160]), width, height };
  const processorMs = (work: () => void) => {
    const runs = [1, 2, 3].map(() => {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    });
    return Math.round(Math.min(...runs));
  };
  return {
    size: `${width}×${height}`,
    "refineAlpha (ms)": processorMs(() => refineAlpha(image, modelled)),
    "decontaminate (ms)": processorMs(() => decontaminate({ ...image, data: image.data.slice() }, modelled)),
  };
}

for (const [width, height] of SIZES) {
  console.log(`${width}×${height}: mean absolute error near the edge, of 255`);
  const rows = (await drawScenes(width, height)).map(compare);
  console.table([...rows, mean(rows)]);
}
console.table([time(640, 480), time(4000, 3000)]);
