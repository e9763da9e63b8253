import type { Pixels } from "../base/pixels.ts";
import { cropTo, onCanvas, resizeTo, visibleBox } from "./geometry.ts";
import type { RenderContext } from "./step.ts";

/**
 * Options `scale` and `position`: moves the subject on a canvas of the image's size. `scale` is the share of the canvas
 * that the subject's width or height takes up, whichever reaches it first.
 */
export function place(cutout: Pixels, { options: { scale, position } }: RenderContext): Pixels {
  if (scale === undefined && position === undefined) return cutout;
  const box = visibleBox(cutout);
  if (box === undefined) return cutout;
  const factor = scale === undefined ? 1 : scale * Math.min(cutout.width / box.width, cutout.height / box.height);
  const subject = resizeTo(cropTo(cutout, box), {
    width: Math.max(1, Math.min(cutout.width, Math.round(box.width * factor))),
    height: Math.max(1, Math.min(cutout.height, Math.round(box.height * factor))),
  });
  const room = { x: cutout.width - subject.width, y: cutout.height - subject.height };
  const { x, y } = position === "original"
    ? {
      x: clamp(box.left + (box.width - subject.width) / 2, room.x),
      y: clamp(box.top + (box.height - subject.height) / 2, room.y),
    }
    : { x: room.x * (position?.x ?? 0.5), y: room.y * (position?.y ?? 0.5) };
  return onCanvas(subject, { left: x, top: y }, cutout);
}

function clamp(value: number, max: number): number {
  return Math.min(max, Math.max(0, value));
}
