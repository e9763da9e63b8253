/** Subjects drawn with an alpha that is known: hair, leaves, wire, glass, cups. */

/** Coverage, height×width, 0–255. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

export function canvas(width: number, height: number): Canvas {
  return { width, height, data: new Uint8Array(width * height) };
}

/** Numbers from 0 to 1 that are the same in every run (G. Marsaglia, "Xorshift RNGs", 2003). */
export function random(seed: number): () => number {
  return () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) / 2 ** 32;
  };
}

/** Raises coverage to that of a shape given by its signed distance in pixels, positive inside, up to `opacity`. */
export function fill(to: Canvas, depth: (x: number, y: number) => number, opacity = 1): void {
  for (let y = 0, i = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++, i++) {
      const cover = Math.max(0, Math.min(1, depth(x + 0.5, y + 0.5) + 0.5));
      to.data[i] = Math.max(to.data[i], Math.round(255 * opacity * cover));
    }
  }
}

export function ellipse(cx: number, cy: number, rx: number, ry: number): (x: number, y: number) => number {
  return (x, y) => (1 - Math.hypot((x - cx) / rx, (y - cy) / ry)) * Math.min(rx, ry);
}

/** A disc at (x, y); thinner than a pixel, it covers only part of one. */
export function stamp(to: Canvas, x: number, y: number, radius: number): void {
  const opacity = Math.min(1, radius * 2);
  const reach = Math.max(radius, 0.5) + 0.5;
  for (let py = Math.max(0, Math.floor(y - reach)); py <= Math.min(to.height - 1, y + reach); py++) {
    for (let px = Math.max(0, Math.floor(x - reach)); px <= Math.min(to.width - 1, x + reach); px++) {
      const cover = Math.max(0, Math.min(1, reach - Math.hypot(px + 0.5 - x, py + 0.5 - y)));
      const at = py * to.width + px;
      to.data[at] = Math.max(to.data[at], Math.round(255 * opacity * cover));
    }
  }
}

interface Strand {
  readonly x: number;
  readonly y: number;
  readonly angle: number;
  readonly length: number;
  /** The turn over the whole length, in radians. */
  readonly bend: number;
  /** The width at the root, in pixels; the tip is a point. */
  readonly width: number;
  /** The amplitude of curls, in pixels, and their number. */
  readonly curl?: number;
  readonly curls?: number;
}

export function strand(to: Canvas, { x, y, angle, length, bend, width, curl = 0, curls = 0 }: Strand): void {
  const steps = Math.ceil(length * 2.5);
  for (let i = 0; i < steps; i++) {
    const t = i / steps;
    x += Math.cos(angle) / 2.5;
    y += Math.sin(angle) / 2.5;
    angle += bend / steps;
    const side = curl * t * Math.sin(2 * Math.PI * curls * t);
    stamp(to, x - Math.sin(angle) * side, y + Math.cos(angle) * side, (width * (1 - t)) / 2);
  }
}

/** A head and shoulders with hair that leaves it to all sides. `curl`: 0 is straight. */
export function head(width: number, height: number, seed: number, strands: number, curl: number): Canvas {
  const to = canvas(width, height);
  const next = random(seed);
  const unit = height / 2;
  const [cx, cy] = [width / 2, height * 0.42];
  fill(to, ellipse(cx, cy, unit * 0.42, unit * 0.5));
  fill(to, (x, y) => Math.min(y - height * 0.5, unit * 0.17 - Math.abs(x - cx)));
  fill(to, ellipse(cx, height * 1.05, unit * 0.85, unit * 0.5));
  for (let i = 0; i < strands; i++) {
    const start = Math.PI * (0.9 + 1.2 * next());
    strand(to, {
      x: cx + Math.cos(start) * unit * 0.4,
      y: cy + Math.sin(start) * unit * 0.47,
      angle: start + (next() - 0.5) * 0.8,
      length: (0.12 + 0.3 * next() ** 2) * unit,
      bend: (next() - 0.5) * 2.5,
      width: (0.004 + 0.008 * next()) * unit,
      curl: curl * unit * (0.02 + 0.04 * next()),
      curls: 1 + 3 * next(),
    });
  }
  return to;
}

/** A furry ball with whiskers. */
export function furry(width: number, height: number, seed: number): Canvas {
  const to = canvas(width, height);
  const next = random(seed);
  const unit = height / 2;
  fill(to, ellipse(width / 2, height / 2, unit * 0.6, unit * 0.55));
  for (let i = 0; i < 2600; i++) {
    const start = 2 * Math.PI * next();
    strand(to, {
      x: width / 2 + Math.cos(start) * unit * 0.58,
      y: height / 2 + Math.sin(start) * unit * 0.53,
      angle: start + (next() - 0.5),
      length: (0.04 + 0.08 * next()) * unit,
      bend: next() - 0.5,
      width: 0.008 * unit,
    });
  }
  for (const side of [-1, 1]) {
    for (let i = -2; i <= 2; i++) {
      strand(to, {
        x: width / 2 + side * unit * 0.5,
        y: height / 2 + i * unit * 0.05,
        angle: (side > 0 ? 0 : Math.PI) + side * i * 0.12,
        length: unit * 0.5,
        bend: side * 0.3,
        width: 0.008 * unit,
      });
    }
  }
  return to;
}

/** A plant: stems that bend, with pointed leaves on both sides. */
export function plant(width: number, height: number, seed: number): Canvas {
  const to = canvas(width, height);
  const next = random(seed);
  const unit = height / 2;
  fill(to, (x, y) => Math.min(y - height * 0.78, height * 0.97 - y, unit * 0.28 - Math.abs(x - width / 2)));
  for (let s = 0; s < 9; s++) {
    let [x, y] = [width / 2 + (next() - 0.5) * unit * 0.3, height * 0.8];
    let angle = -Math.PI / 2 + (s - 4) * 0.22;
    const bend = (s - 4) * 0.12 + (next() - 0.5) * 0.3;
    const steps = 26;
    const step = (0.9 + 0.4 * next()) * unit / steps;
    for (let i = 0; i < steps; i++) {
      for (let k = 0; k < 4; k++) {
        stamp(to, x + Math.cos(angle) * step * k / 4, y + Math.sin(angle) * step * k / 4, unit * 0.006);
      }
      x += Math.cos(angle) * step;
      y += Math.sin(angle) * step;
      angle += bend / steps;
      if (i < 5 || i % 2 === 1) continue;
      for (const side of [-1, 1]) leaf(to, x, y, angle + side * 0.9, unit * 0.17 * (1 - 0.5 * i / steps), unit * 0.035);
    }
  }
  return to;
}

function leaf(to: Canvas, x: number, y: number, angle: number, length: number, width: number): void {
  const steps = Math.ceil(length * 2);
  for (let i = 0; i < steps; i++) {
    const t = i / steps;
    stamp(to, x + Math.cos(angle) * length * t, y + Math.sin(angle) * length * t, width * Math.sin(Math.PI * t) + 0.2);
  }
}

/** A wheel of wire: a rim, a hub and thin spokes. */
export function wheel(width: number, height: number): Canvas {
  const to = canvas(width, height);
  const unit = height / 2;
  const [cx, cy] = [width / 2, height / 2];
  const ring = (radius: number, thick: number) =>
    fill(to, (x, y) => thick / 2 - Math.abs(Math.hypot(x - cx, y - cy) - radius));
  ring(unit * 0.78, unit * 0.09);
  ring(unit * 0.12, unit * 0.1);
  for (let i = 0; i < 28; i++) {
    const [a, b] = [2 * Math.PI * i / 28, 2 * Math.PI * i / 28 + (i % 2 ? 0.35 : -0.35)];
    for (let t = 0; t <= 1; t += 1 / (unit * 2)) {
      const [r, angle] = [unit * (0.12 + 0.66 * t), a + (b - a) * (1 - t)];
      stamp(to, cx + Math.cos(angle) * r, cy + Math.sin(angle) * r, unit * 0.005);
    }
  }
  return to;
}

/** A cup with a handle that one sees through. */
export function cup(width: number, height: number): Canvas {
  const to = canvas(width, height);
  const unit = height / 2;
  const [cx, top, bottom] = [width * 0.46, height * 0.25, height * 0.85];
  fill(to, (x, y) => {
    const t = Math.max(0, Math.min(1, (y - top) / (bottom - top)));
    return Math.min(y - top, bottom - y, unit * (0.55 - 0.14 * t * t) - Math.abs(x - cx));
  });
  fill(to, ellipse(cx, top, unit * 0.55, unit * 0.14));
  fill(to, ellipse(cx, bottom, unit * 0.41, unit * 0.1));
  fill(to, (x, y) => {
    const [dx, dy] = [(x - cx - unit * 0.5) / 0.8, y - height * 0.5];
    return unit * 0.045 - Math.abs(Math.hypot(dx, dy) - unit * 0.32);
  });
  return to;
}

/** A glass one sees through, with a rim, a foot and a drink in it. */
export function glass(width: number, height: number): Canvas {
  const to = canvas(width, height);
  const unit = height / 2;
  const cx = width / 2;
  const body = (x: number, y: number) =>
    Math.min(y - height * 0.15, height * 0.85 - y, unit * (0.42 - 0.1 * y / height) - Math.abs(x - cx));
  fill(to, body, 0.3);
  fill(to, (x, y) => Math.min(body(x, y), unit * 0.03 - body(x, y)), 0.85);
  fill(to, (x, y) => Math.min(body(x, y) - unit * 0.02, y - height * 0.45), 0.8);
  fill(to, ellipse(cx, height * 0.87, unit * 0.34, unit * 0.07));
  return to;
}

/** A leaf or star with a clean, wavy outline. */
export function blob(width: number, height: number, waves: number, depth: number): Canvas {
  const to = canvas(width, height);
  const unit = height / 2;
  fill(to, (x, y) => {
    const [dx, dy] = [x - width / 2, y - height / 2];
    return unit * (0.6 + depth * Math.cos(waves * Math.atan2(dy, dx))) - Math.hypot(dx, dy);
  });
  return to;
}
