/**
 * Scenes whose alpha is known: subjects, drawn or cut from material that is free to use, over photographs. They are what
 * `deno task bench quality` judges matting by.
 */
import { Jimp } from "jimp";
import { Buffer } from "node:buffer";
import type { Pixels } from "../../src/base/pixels.ts";
import { decode } from "../../src/image/decode.ts";
import { resampleGray } from "../../src/image/resample.ts";
import { foregroundColours } from "../../src/render/matting/foreground.ts";
import { fixture, PHOTOGRAPHS, type Rgb } from "../../tests/support/images.ts";
import { resampledColours } from "../../tests/support/resampled.ts";
import { blob, type Canvas, cup, furry, glass, head, plant, wheel } from "./shapes.ts";

/** An image and the truth about it. Colours are height×width×4, alpha is height×width, 0–255. */
export interface Scene {
  readonly name: string;
  /** Whether the constants of matting were chosen without a look at this scene. */
  readonly heldOut: boolean;
  readonly image: Pixels;
  readonly foreground: Uint8Array<ArrayBuffer>;
  readonly alpha: Uint8Array<ArrayBuffer>;
}

const WIDTH = 760;
const HEIGHT = 560;

const PICTURES = new URL("../pictures/", import.meta.url);
const read = (file: Uint8Array<ArrayBuffer>) => decode(file, { maxPixels: 25e6 });

/** Parts of photographs without a subject: left, top, right and bottom, of 1. */
const MATERIALS = {
  wood: ["coffee", 0.75, 0, 1, 0.25],
  grain: ["coffee", 0, 0.72, 0.2, 1],
  greyFur: ["raccoon", 0, 0, 0.3, 0.4],
  leaves: ["raccoon", 0.7, 0.5, 1, 1],
  broadLeaves: ["raccoon", 0, 0.6, 0.3, 1],
  trees: ["china", 0.65, 0.75, 1, 1],
  fur: ["chelsea", 0.35, 0.02, 0.62, 0.25],
  whiskers: ["chelsea", 0, 0.6, 0.25, 1],
  room: ["chelsea", 0.78, 0.1, 1, 0.4],
  suit: ["astronaut", 0.3, 0.62, 0.62, 0.9],
  dusk: ["rocket", 0.34, 0, 0.46, 0.35],
  garden: ["flower", 0, 0, 0.28, 0.38],
  petals: ["flower", 0.35, 0.35, 0.65, 0.65],
  lawn: ["camera", 0.78, 0.72, 1, 0.95],
  flag: ["officer", 0, 0, 0.25, 0.4],
  blueWall: ["officer", 0.82, 0.1, 1, 0.45],
} as const;

type Material = keyof typeof MATERIALS;

/** A material that fills the scene. `blur` is the radius of the lens's blur, in pixels. */
async function material(name: Material, { flip = false, blur = 0 } = {}): Promise<Pixels> {
  const [photo, left, top, right, bottom] = MATERIALS[name];
  const file = PHOTOGRAPHS.includes(photo)
    ? fixture(`${photo}.jpg`)
    : Deno.readFileSync(new URL(`${photo}.jpg`, PICTURES));
  const image = await Jimp.fromBuffer(file.buffer);
  const { width, height } = image.bitmap;
  image.crop({
    x: Math.round(left * width),
    y: Math.round(top * height),
    w: Math.round((right - left) * width),
    h: Math.round((bottom - top) * height),
  });
  image.cover({ w: WIDTH, h: HEIGHT });
  if (flip) image.flip({ horizontal: true });
  if (blur > 0) image.blur(blur);
  return { width: WIDTH, height: HEIGHT, data: new Uint8Array(image.bitmap.data) };
}

/** A photograph's light and shade in a colour, so that a subject has texture and still a colour of its own. */
function tinted({ data, width, height }: Pixels, [red, green, blue]: Rgb): Pixels {
  const tint = new Uint8ClampedArray(data.length).fill(255);
  for (let at = 0; at < data.length; at += 4) {
    const light = 0.55 + (data[at] + data[at + 1] + data[at + 2]) / 850;
    tint.set([red * light, green * light, blue * light], at);
  }
  return { data: new Uint8Array(tint.buffer), width, height };
}

export function over(front: Uint8Array, alpha: Uint8Array, back: Uint8Array | Rgb): Uint8Array<ArrayBuffer> {
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

/** The image as a camera would deliver it: JPEG files add noise that matting must bear. */
async function asJpeg(data: Uint8Array, width: number, height: number): Promise<Pixels> {
  const image = new Jimp({ width, height, data: Buffer.from(data) });
  return await read(new Uint8Array(await image.getBuffer("image/jpeg", { quality: 92 })));
}

type Cutout = Pick<Scene, "foreground" | "alpha">;

/** pymatting's lemur with its reference alpha: fur as a camera saw it. */
async function lemur(): Promise<Cutout & { image: Pixels }> {
  const image = await read(fixture("lemur.png"));
  const reference = await read(fixture("lemur_alpha.png"));
  const alpha = new Uint8Array(image.width * image.height).map((_, i) => reference.data[i * 4]);
  return { image, alpha, foreground: foregroundColours(image, alpha) };
}

async function lemurIn(background: Pixels, mirror: boolean): Promise<[Cutout, Pixels]> {
  const { image, alpha, foreground } = await lemur();
  const { width, height } = background;
  const scaled = resampleGray(alpha, image.width, image.height, width, height);
  const colours = resampledColours({ ...image, data: foreground }, width, height);
  if (!mirror) return [{ foreground: colours, alpha: scaled }, background];
  return [{ foreground: mirrored(colours, width, 4), alpha: mirrored(scaled, width, 1) }, background];
}

function mirrored(data: Uint8Array<ArrayBuffer>, width: number, channels: number): Uint8Array<ArrayBuffer> {
  return data.map((_, i) => {
    const pixel = Math.floor(i / channels);
    const x = pixel % width;
    return data[(pixel - x + width - 1 - x) * channels + i % channels];
  });
}

/** A horse, drawn with a brush: hard edges with thin parts. */
async function horse(mirror: boolean): Promise<Canvas> {
  const image = await Jimp.fromBuffer(Deno.readFileSync(new URL("horse.jpg", PICTURES)).buffer);
  image.contain({ w: WIDTH, h: HEIGHT });
  const alpha = new Uint8Array(WIDTH * HEIGHT).map((_, i) => {
    const [red, opacity] = [image.bitmap.data[i * 4], image.bitmap.data[i * 4 + 3]];
    return opacity < 255 ? 0 : 255 - Math.max(0, Math.min(255, (red - 64) * 2));
  });
  return { width: WIDTH, height: HEIGHT, data: mirror ? mirrored(alpha, WIDTH, 1) : alpha };
}

/** A face's colour below the hair, hair above and around it, clothes at the bottom. */
async function portrait(shape: Canvas, hair: Rgb, skin: Rgb, clothes: Rgb, texture: Material): Promise<Cutout> {
  const photo = await material(texture);
  const [a, b, c] = [hair, skin, clothes].map((colour) => tinted(photo, colour).data);
  const data = a.map((value, i) => {
    const [x, y] = [(i >> 2) % WIDTH - WIDTH / 2, Math.floor((i >> 2) / WIDTH)];
    if (y > HEIGHT * 0.75) return c[i];
    const face = Math.hypot(x / (HEIGHT * 0.16), (y - HEIGHT * 0.47) / (HEIGHT * 0.2)) < 1;
    return face ? b[i] : value;
  });
  return { foreground: data, alpha: shape.data };
}

/** All scenes, those that constants were chosen on first. */
export async function drawScenes(): Promise<Scene[]> {
  const scenes: Scene[] = [];
  const add = async (name: string, heldOut: boolean, { foreground, alpha }: Cutout, background: Pixels) => {
    const image = await asJpeg(over(foreground, alpha, background.data), WIDTH, HEIGHT);
    scenes.push({ name, heldOut, image, foreground, alpha });
  };
  const [W, H] = [WIDTH, HEIGHT];
  const painted = async (shape: Canvas, colour: Rgb, texture: Material): Promise<Cutout> => ({
    foreground: tinted(await material(texture), colour).data,
    alpha: shape.data,
  });
  scenes.push({ name: "lemur", heldOut: false, ...await lemur() });
  await add("lemur on wood", false, ...await lemurIn(await material("wood"), false));
  await add(
    "straight hair at dusk",
    false,
    await portrait(head(W, H, 7, 700, 0), [60, 42, 30], [225, 175, 145], [180, 70, 60], "fur"),
    await material("dusk"),
  );
  await add("plant in a room", false, await painted(plant(W, H, 5), [80, 150, 50], "petals"), await material("room"));
  await add(
    "horse before trees",
    false,
    await painted(await horse(false), [170, 95, 55], "fur"),
    await material("trees", { blur: 2 }),
  );
  await add(
    "cup among leaves",
    false,
    await painted(cup(W, H), [235, 230, 220], "room"),
    await material("leaves", { blur: 4 }),
  );
  await add(
    "wheel of wire on a lawn",
    false,
    await painted(wheel(W, H), [60, 60, 66], "lawn"),
    await material("blueWall"),
  );
  await add(
    "clean leaf on wood",
    false,
    await painted(blob(W, H, 5, 0.12), [70, 140, 50], "greyFur"),
    await material("wood"),
  );

  await add("lemur in a garden", true, ...await lemurIn(await material("garden"), true));
  await add(
    "fair curls before a wall",
    true,
    await portrait(head(W, H, 91, 800, 1), [215, 180, 120], [235, 190, 165], [150, 40, 50], "greyFur"),
    await material("blueWall", { flip: true }),
  );
  await add(
    "dark curls among leaves",
    true,
    await portrait(head(W, H, 33, 700, 1.4), [40, 30, 26], [190, 135, 105], [220, 215, 205], "whiskers"),
    await material("broadLeaves", { blur: 6 }),
  );
  await add(
    "plant before fur",
    true,
    await painted(plant(W, H, 77), [60, 130, 70], "petals"),
    await material("fur", { blur: 4 }),
  );
  await add(
    "glass on grained wood",
    true,
    await painted(glass(W, H), [230, 225, 215], "room"),
    await material("grain", { flip: true, blur: 5 }),
  );
  await add(
    "furry ball with whiskers",
    true,
    await painted(furry(W, H, 3), [215, 190, 165], "fur"),
    await material("suit", { blur: 12 }),
  );
  await add(
    "horse on a lawn",
    true,
    await painted(await horse(true), [225, 220, 215], "greyFur"),
    await material("lawn"),
  );
  await add(
    "star before a flag",
    true,
    await painted(blob(W, H, 9, 0.2), [225, 190, 60], "petals"),
    await material("flag", { blur: 3 }),
  );
  return scenes;
}
