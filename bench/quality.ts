import { Jimp } from "jimp";
import { Buffer } from "node:buffer";
import type { Rgb } from "../tests/support/images.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { measureCosts } from "./quality/costs.ts";
import { drawScenes, over, type Scene } from "./quality/scenes.ts";
import { type Score, score } from "./quality/scores.ts";
import { cutout, type Way, WAYS } from "./quality/ways.ts";

const DOCS = new URL("../docs/quality/", import.meta.url);

/** The parts of scenes that docs/quality/ shows at 200 %, each on a colour that the scene lacks. */
const STRIPS: readonly { scene: string; file: string; left: number; top: number; colour: Rgb }[] = [
  { scene: "lemur", file: "fur", left: 210, top: 90, colour: [255, 0, 200] },
  { scene: "fair curls before a wall", file: "curls", left: 255, top: 40, colour: [0, 200, 60] },
  { scene: "furry ball with whiskers", file: "whiskers", left: 430, top: 150, colour: [0, 90, 255] },
  { scene: "plant in a room", file: "leaves", left: 130, top: 150, colour: [255, 0, 200] },
  { scene: "cup among leaves", file: "cup", left: 460, top: 120, colour: [255, 0, 200] },
  { scene: "glass on grained wood", file: "glass", left: 220, top: 70, colour: [255, 0, 200] },
];
const STRIP = { width: 150, height: 130, zoom: 2, gap: 6 };

export const quality: Bench = {
  name: "quality",
  summary: "how close cutouts come to a known alpha: none, refine, hair, and rembg's alpha matting",
  duration: "3 min",
  options: [{ name: "write-pictures", summary: "write docs/quality/NAME.jpg as well", fallback: false }],

  async run(values, tell) {
    const results = await scoreScenes(tell, values.flag("write-pictures"));
    const tables = (["mse", "mae", "gradient", "composite"] as const).map((measure) => ({
      caption: CAPTIONS[measure],
      rows: [
        ...results.map(({ scene, scores }) => ({
          scene: scene.name,
          "held out": scene.heldOut ? "yes" : "no",
          ...mapWays((way) => scores[way][measure].toFixed(DIGITS[measure])),
        })),
        ...[false, true].map((heldOut) => ({
          scene: heldOut ? "mean ratio, held out" : "mean ratio, others",
          "held out": heldOut ? "yes" : "no",
          ...mapWays((way) =>
            meanRatio(
              results.filter(({ scene }) => scene.heldOut === heldOut).map(({ scores }) => scores),
              way,
              measure,
            )
          ),
        })),
      ],
    }));
    tell("costs");
    const costs = {
      caption: "Costs of a render from a cached mask, decoding and encoding included: medians of 7.",
      rows: await measureCosts(),
    };
    return [...tables, costs];
  },
};

interface Result {
  readonly scene: Scene;
  readonly scores: Record<Way, Score>;
}

/** Cuts out every scene in every way, on one server. */
async function scoreScenes(tell: (progress: string) => void, writePictures: boolean): Promise<Result[]> {
  await using server = await TestServer.start({}, { checked: false });
  const results: Result[] = [];
  for (const scene of await drawScenes()) {
    tell(scene.name);
    const cutouts = {} as Record<Way, Uint8Array>;
    for (const way of Object.keys(WAYS) as Way[]) cutouts[way] = await cutout(server, scene, way);
    const scores = Object.fromEntries(Object.entries(cutouts).map(([way, pixels]) => [way, score(scene, pixels)]));
    results.push({ scene, scores: scores as Record<Way, Score> });
    const strip = STRIPS.find((strip) => strip.scene === scene.name);
    if (writePictures && strip) await writeStrip(strip, scene, cutouts);
  }
  return results;
}

const CAPTIONS = {
  mse: "Mean squared error of alpha, in ten-thousandths. Ratios are geometric means, to `none`.",
  mae: "Mean absolute error of alpha, in ten-thousandths.",
  gradient: "Error of alpha's gradient (Rhemann et al., 2009), in thousands.",
  composite: "Mean absolute error of colours on magenta, green, blue and white, of 255.",
};

function mapWays(value: (way: Way) => string): Record<string, string> {
  return Object.fromEntries((Object.keys(WAYS) as Way[]).map((way) => [way, value(way)]));
}

const DIGITS = { mse: 1, mae: 0, gradient: 3, composite: 2 };

/** Small errors must not rule the mean, so every error has this much more. */
const FLOOR = { mse: 0.1, mae: 0.5, gradient: 0.002, composite: 0.02 };

function meanRatio(scores: readonly Record<Way, Score>[], way: Way, measure: keyof Score): string {
  const logs = scores.map((score) =>
    Math.log((score[way][measure] + FLOOR[measure]) / (score.none[measure] + FLOOR[measure]))
  );
  return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length).toFixed(2);
}

/** Writes a part of the input, of the cutouts on a colour, and of the truth, side by side. */
async function writeStrip(
  { file, left, top, colour }: (typeof STRIPS)[number],
  { image, foreground, alpha }: Scene,
  cutouts: Record<Way, Uint8Array>,
): Promise<void> {
  const { width, height, zoom, gap } = STRIP;
  const panels = [
    image.data,
    ...Object.values(cutouts).map((pixels) => over(pixels, pixels.filter((_, i) => i % 4 === 3), colour)),
    over(foreground, alpha, colour),
  ];
  const step = width * zoom + gap;
  const strip = new Jimp({ width: panels.length * step - gap, height: height * zoom, color: 0xffffffff });
  for (const [i, pixels] of panels.entries()) {
    const panel = new Jimp({ width: image.width, height: image.height, data: Buffer.from(pixels) });
    panel.crop({ x: left, y: top, w: width, h: height }).resize({ w: width * zoom, h: height * zoom });
    strip.composite(panel, i * step, 0);
  }
  await Deno.mkdir(DOCS, { recursive: true });
  await Deno.writeFile(new URL(`${file}.jpg`, DOCS), await strip.getBuffer("image/jpeg", { quality: 85 }));
}
