import { Jimp, ResizeStrategy } from "jimp";
import { fixture, PHOTOGRAPHS } from "../tests/support/images.ts";
import { compareMasks } from "../tests/support/masks.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";

type Picture = Awaited<ReturnType<typeof Jimp.fromBuffer>>;

const DOCS = new URL("../docs/fidelity/", import.meta.url);
const PANEL_WIDTH = 292;
const GAP = 12;
/** The colour behind the cutout, which is rare in all photographs. */
const BACKDROP = 0x2fa8a0ff;

export const fidelity: Bench = {
  name: "fidelity",
  summary: "difference between alpha and rembg's masks from the same weights",
  duration: "10 s",
  options: [{ name: "write-pictures", summary: "also write docs/fidelity/NAME.jpg", fallback: false }],

  async run(values, report) {
    await using server = await TestServer.start({}, { checked: false });
    const rows = [];
    for (const name of PHOTOGRAPHS) {
      report(name);
      const { png } = await server.cutout(`${name}.jpg`, fixture(`${name}.jpg`));
      const cutout = await Jimp.fromBuffer(png.buffer);
      const reference = await Jimp.fromBuffer(fixture(`${name}.rembg-u2netp.mask.png`).buffer);
      const alpha = new Uint8Array(cutout.bitmap.data.filter((_, i) => i % 4 === 3));
      const expected = new Uint8Array(reference.bitmap.data.filter((_, i) => i % 4 === 0));
      const { meanDifference, intersectionOverUnion } = compareMasks(alpha, expected);
      const worst = alpha.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i])), 0);
      rows.push({
        photograph: `[${name}](docs/fidelity/${name}.jpg)`,
        "mean alpha difference": meanDifference.toFixed(4),
        "worst pixel": (worst / 255).toFixed(3),
        "IoU at 128": intersectionOverUnion.toFixed(4),
      });
      if (values.flag("write-pictures")) await writeTriptych(name, cutout, alpha);
    }
    return [{ caption: "Alpha of the cutout compared with rembg's mask, both from 0 to 1.", rows }];
  },
};

/** Writes input, mask and cutout on a colour, side by side. */
async function writeTriptych(name: string, cutout: Picture, alpha: Uint8Array): Promise<void> {
  const { width, height } = cutout.bitmap;
  const input = await Jimp.fromBuffer(fixture(`${name}.jpg`).buffer);
  const mask = new Jimp({ width, height, color: 0x000000ff });
  for (const [i, value] of alpha.entries()) mask.bitmap.data.fill(value, i * 4, i * 4 + 3);
  const onColour = new Jimp({ width, height, color: BACKDROP }).composite(cutout);
  const panels = [input, mask, onColour].map((panel) =>
    panel.resize({ w: PANEL_WIDTH, mode: ResizeStrategy.BICUBIC }) as Picture
  );
  const triptych = new Jimp({
    width: panels.length * (PANEL_WIDTH + GAP) - GAP,
    height: panels[0].bitmap.height,
    color: 0xffffffff,
  });
  for (const [i, panel] of panels.entries()) triptych.composite(panel, i * (PANEL_WIDTH + GAP), 0);
  await Deno.mkdir(DOCS, { recursive: true });
  await Deno.writeFile(new URL(`${name}.jpg`, DOCS), await triptych.getBuffer("image/jpeg", { quality: 85 }));
}
