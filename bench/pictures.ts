import { Jimp, ResizeStrategy } from "jimp";
import { fixture, PHOTOGRAPHS } from "../tests/support/images.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * One JPEG for each size, made from the tests' photographs in turn: cropped to the proportions, resized, brightened or
 * darkened a little, every second one mirrored, and with the grain of a sensor, without which the files of enlarged
 * pictures would be far smaller than a camera's.
 */
export async function pictures(sizes: readonly Size[]): Promise<Uint8Array<ArrayBuffer>[]> {
  const files: Uint8Array<ArrayBuffer>[] = [];
  for (const [i, { width, height }] of sizes.entries()) {
    const image = await Jimp.fromBuffer(fixture(`${PHOTOGRAPHS[i % PHOTOGRAPHS.length]}.jpg`).buffer);
    image.cover({ w: width, h: height, mode: ResizeStrategy.BILINEAR });
    image.brightness(0.9 + 0.04 * (i % 6));
    if (i % 2 === 1) image.flip({ horizontal: true });
    addGrain(image.bitmap.data, i + 1);
    files.push(new Uint8Array(await image.getBuffer("image/jpeg", { quality: 92 })));
  }
  return files;
}

/** Adds −6 to 6 to each value except alpha; `data` is RGBA, 0–255. */
function addGrain(data: Uint8Array, seed: number): void {
  let state = seed;
  for (let at = 0; at < data.length; at += 4) {
    // Numerical Recipes' linear congruential generator; its high bits are good enough for noise.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    for (let i = 0; i < 3; i++) {
      const value = data[at + i] + ((state >>> (8 + 8 * i)) & 0xff) % 13 - 6;
      data[at + i] = Math.min(255, Math.max(0, value));
    }
  }
}

/**
 * The JPEG with a number in a comment segment (ITU-T T.81, B.2.4.5). For a server that identifies images by their bytes,
 * it is a new image, which takes the time of a new image but none to make.
 */
export function numbered(jpeg: Uint8Array, number: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(`${number}`);
  return new Uint8Array([...jpeg.subarray(0, 2), 0xff, 0xfe, 0, text.length + 2, ...text, ...jpeg.subarray(2)]);
}
