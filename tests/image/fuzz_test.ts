import { getLogger } from "@logtape/logtape";
import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import type { ImageOperations } from "../../src/inference/engine/image_operations.ts";
import { ImageError } from "../../src/base/errors.ts";
import { workerRuntime } from "../../src/inference/workers/worker_runtime.ts";
import { WorkerPool } from "../../src/inference/workers/worker_pool.ts";
import { fixture } from "../support/images.ts";

/*
 * Damages the fixtures of all formats at random and decodes the results in the same sandbox as the server.
 * `FUZZ_SEED` is the random seed and `FUZZ_CASES` the number of cases; a case depends only on the seed and its number.
 */

type Bytes = Uint8Array<ArrayBuffer>;

const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 20_261_122);
const CASES = Number(Deno.env.get("FUZZ_CASES") ?? 2000);
const LIMITS = { maxPixels: 1_000_000 };
const TIMEOUT_MS = 10_000;

/** Random whole numbers below a limit (mulberry32 by T. Ettinger, public domain). */
type Random = (below: number) => number;

function mulberry32(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const NUMBERS = [0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65535, 65536, 2 ** 31 - 1, 2 ** 31];

/** A random position; half of the time near the beginning, in the headers. */
function place(file: Bytes, random: Random): number {
  return random(random(2) ? file.length : Math.min(file.length, 100));
}

function joined(...parts: Bytes[]): Bytes {
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** Overwrites 1, 2 or 4 bytes with a number. */
function overwritten(file: Bytes, at: number, value: number, random: Random): Bytes {
  const copy = joined(file, new Uint8Array(4));
  const view = new DataView(copy.buffer);
  const little = random(2) === 1;
  const size = random(3);
  if (size === 0) view.setUint8(at, value);
  else if (size === 1) view.setUint16(at, value, little);
  else view.setUint32(at, value, little);
  return copy.slice(0, file.length);
}

const mutations: ((file: Bytes, random: Random, other: Bytes) => Bytes)[] = [
  function flipBit(file, random) {
    const copy = file.slice();
    copy[place(file, random)] ^= 1 << random(8);
    return copy;
  },
  function randomByte(file, random) {
    const copy = file.slice();
    copy[place(file, random)] = random(256);
    return copy;
  },
  function strikingNumber(file, random) {
    return overwritten(file, place(file, random), NUMBERS[random(NUMBERS.length)], random);
  },
  // Changes a number that could be a length, because the file is longer than that from there on.
  function tamperedLength(file, random) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const at = place(file, random);
    for (let i = at; i + 2 <= file.length && i < at + 64; i++) {
      const value = view.getUint16(i, random(2) === 1);
      if (value > 0 && value <= file.length - i) return overwritten(file, i, value + random(9) - 4, random);
    }
    return overwritten(file, at, file.length - at, random);
  },
  function deletion(file, random) {
    const at = place(file, random);
    return joined(file.slice(0, at), file.slice(at + 1 + random(32)));
  },
  function duplication(file, random) {
    const from = place(file, random);
    const part = file.slice(from, from + 1 + random(64));
    const to = random(2) ? from : place(file, random);
    return joined(file.slice(0, to), ...Array<Bytes>(1 + random(8)).fill(part), file.slice(to));
  },
  function insertion(file, random) {
    const at = place(file, random);
    const noise = Uint8Array.from({ length: 1 + random(16) }, () => random(256));
    return joined(file.slice(0, at), noise, file.slice(at));
  },
  function truncation(file, random) {
    return file.slice(0, place(file, random));
  },
  function splice(file, random, other) {
    return joined(file.slice(0, place(file, random)), other.slice(place(other, random)));
  },
];

/** Corrects the checksums of a PNG: otherwise they would stop almost every case. */
function withPngChecksums(file: Bytes): Bytes {
  if (file.subarray(0, 4).toHex() !== "89504e47") return file;
  const copy = file.slice();
  const view = new DataView(copy.buffer);
  for (let at = 8; at + 12 <= copy.length;) {
    const end = at + 8 + view.getUint32(at);
    if (end + 4 > copy.length) break;
    view.setUint32(end, crc32(copy.subarray(at + 4, end)));
    at = end + 4;
  }
  return copy;
}

/** One to four mutations of one of the files. */
function fuzzedFile(files: Bytes[], number: number): Bytes {
  const random = mulberry32(SEED + Math.imul(number, 0x9e3779b1));
  let file = files[random(files.length)];
  for (let left = 1 + random(4); left > 0 && file.length > 0; left--) {
    file = mutations[random(mutations.length)](file, random, files[random(files.length)]);
  }
  return random(4) ? withPngChecksums(file) : file;
}

Deno.test(`fuzz › each of ${CASES} damaged files is decoded or refused, and the worker survives`, async () => {
  const files = ["formats", "unusual"].flatMap((folder) => {
    const names = [...Deno.readDirSync(new URL(`../fixtures/${folder}/`, import.meta.url))].map(({ name }) => name);
    return names.filter((name) => !/\.(py|json)$/.test(name)).sort().map((name) => fixture(`${folder}/${name}`));
  });
  const url = import.meta.resolve("../../src/inference/engine/image_worker.ts");
  const pool = new WorkerPool<ImageOperations>({
    name: "image",
    runtime: workerRuntime,
    module: { url },
    size: 1,
    logger: getLogger("test"),
  });
  let [decoded, refused] = [0, 0];
  try {
    for (let number = 0; number < CASES; number++) {
      const bytes = fuzzedFile(files, number);
      try {
        const { pixels } = await pool.call("decode", { bytes, limits: LIMITS }, { budget: { leftMs: TIMEOUT_MS } });
        const { data, width, height } = pixels;
        assert.ok(width > 0 && height > 0 && width * height <= LIMITS.maxPixels, `${width}×${height}`);
        assert.equal(data.length, width * height * 4);
        decoded++;
      } catch (error) {
        if (!(error instanceof ImageError)) {
          const input = bytes.toBase64();
          throw new Error(`FUZZ_SEED=${SEED}, case ${number}: ${error}\n${input}`, { cause: error });
        }
        refused++;
      }
    }
  } finally {
    pool.close();
  }
  // If every case had the same outcome, this would test nothing.
  if (CASES >= 500) assert.ok(Math.min(decoded, refused) > CASES / 20, `${decoded} decoded, ${refused} refused`);
});
