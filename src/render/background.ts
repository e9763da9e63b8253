import type { Size } from "../base/layout.ts";
import type { Pixels } from "../base/pixels.ts";
import { cropTo, resizeTo } from "./geometry.ts";
import type { RenderContext } from "./step.ts";

/** Options `background_image` and `background`: puts the cutout on a picture, and that on a colour, in place. */
export function background(cutout: Pixels, { options, picture }: RenderContext): Pixels {
  if (picture !== undefined) putOn(cutout, { colours: cover(picture, cutout).data, step: 4 });
  if (options.background !== undefined) putOn(cutout, { colours: Uint8Array.fromHex(options.background), step: 0 });
  return cutout;
}

/** The middle of a picture, cropped to the proportions of `size` and resized to it. */
function cover(picture: Pixels, size: Size): Pixels {
  const scale = Math.max(size.width / picture.width, size.height / picture.height);
  const width = Math.max(1, Math.min(picture.width, Math.round(size.width / scale)));
  const height = Math.max(1, Math.min(picture.height, Math.round(size.height / scale)));
  const left = Math.floor((picture.width - width) / 2);
  const top = Math.floor((picture.height - height) / 2);
  return resizeTo(cropTo(picture, { left, top, width, height }), size);
}

/** RGBA colours behind an image: one for each pixel (`step` 4), or one for all (`step` 0). */
interface Backdrop {
  readonly colours: Uint8Array;
  readonly step: 0 | 4;
}

/** Puts the image on a backdrop, in place ("over" of Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984). */
function putOn({ data }: Pixels, { colours, step }: Backdrop): void {
  for (let at = 0, behind = 0; at < data.length; at += 4, behind += step) {
    const front = data[at + 3] / 255;
    const back = (colours[behind + 3] / 255) * (1 - front);
    const alpha = front + back;
    if (alpha === 0) {
      data.fill(0, at, at + 4);
      continue;
    }
    data[at] = Math.round((data[at] * front + colours[behind] * back) / alpha);
    data[at + 1] = Math.round((data[at + 1] * front + colours[behind + 1] * back) / alpha);
    data[at + 2] = Math.round((data[at + 2] * front + colours[behind + 2] * back) / alpha);
    data[at + 3] = Math.round(alpha * 255);
  }
}
