/** How rembg makes a trimap of a mask: its parameters `af`, `ab` and `ae`. */
export interface TrimapOptions {
  /** Alpha over this is the subject, 0–255. */
  readonly foreground: number;
  /** Alpha under this is the background, 0–255. */
  readonly background: number;
  /** The side of the square by which both are eroded, in pixels; 0 stands for a cross of 3×3. */
  readonly erosion: number;
}

/** The values of a trimap. */
export const TRIMAP = { background: 0, unknown: 128, foreground: 255 } as const;

/**
 * A trimap as rembg makes it (`alpha_matting_cutout` of its bg.py), with SciPy's borders: beyond the image lies background.
 * @param alpha height×width, 0–255.
 * @returns height×width of {@link TRIMAP}'s values.
 */
export function trimapOf(
  alpha: Uint8Array,
  width: number,
  height: number,
  { foreground, background, erosion }: TrimapOptions,
): Uint8Array<ArrayBuffer> {
  const subject = alpha.map((value) => value > foreground ? 1 : 0);
  const rest = alpha.map((value) => value < background ? 1 : 0);
  const erode = erosion === 0
    ? erodeByCross
    : (flags: Uint8Array, w: number, h: number, border: 0 | 1) => erodeBySquare(flags, w, h, border, erosion);
  const subjectCore = erode(subject, width, height, 0);
  const restCore = erode(rest, width, height, 1);
  return new Uint8Array(alpha.length).map((_, i) =>
    restCore[i] ? TRIMAP.background : subjectCore[i] ? TRIMAP.foreground : TRIMAP.unknown
  );
}

/** Keeps flags whose whole square is set. SciPy's square of an even side reaches one further to the left and top. */
function erodeBySquare(flags: Uint8Array, width: number, height: number, border: 0 | 1, side: number): Uint8Array {
  const across = erodeLines(flags, { length: width, lines: height, step: 1, lineStep: width, border, side });
  return erodeLines(across, { length: height, lines: width, step: width, lineStep: 1, border, side });
}

function erodeLines(
  flags: Uint8Array,
  { length, lines, step, lineStep, border, side }: Record<"length" | "lines" | "step" | "lineStep" | "side", number> & {
    border: 0 | 1;
  },
): Uint8Array {
  const output = new Uint8Array(flags.length);
  // A request may ask for any side. Windows that hold the whole line from every place in it are all the same.
  const reach = Math.min(side, 2 * length + 2);
  const before = reach >> 1;
  const after = reach - 1 - before;
  for (let line = 0; line < lines; line++) {
    const first = line * lineStep;
    // The number of unset flags in the window.
    let unset = border === 0 ? before : 0;
    const missing = (i: number) => i < 0 || i >= length ? 1 - border : 1 - flags[first + i * step];
    for (let i = 0; i <= after; i++) unset += missing(i);
    for (let i = 0; i < length; i++) {
      if (unset === 0) output[first + i * step] = 1;
      unset += missing(i + after + 1) - missing(i - before);
    }
  }
  return output;
}

function erodeByCross(flags: Uint8Array, width: number, height: number, border: 0 | 1): Uint8Array {
  const output = new Uint8Array(flags.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const left = x > 0 ? flags[i - 1] : border;
      const right = x < width - 1 ? flags[i + 1] : border;
      const above = y > 0 ? flags[i - width] : border;
      const below = y < height - 1 ? flags[i + width] : border;
      output[i] = flags[i] & left & right & above & below;
    }
  }
  return output;
}
