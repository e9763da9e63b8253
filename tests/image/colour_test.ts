import assert from "node:assert/strict";
import { convertToSrgb } from "../../src/image/convert_to_srgb.ts";
import type { ColourTag } from "../../src/image/colour/tag.ts";
import { decode } from "../../src/image/decode.ts";
import { fixture } from "../support/images.ts";

const limits = { maxPixels: 1_000_000 };

/** Every colour of a cube with 16 steps a side, opaque. */
function cube(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: 4096 * 4 }, (_, i) => {
    const colour = i >> 2;
    return i % 4 === 3 ? 255 : ((colour >> (4 * (i % 4))) & 15) * 17;
  });
}

async function convertedCube(tag: ColourTag): Promise<Uint8Array> {
  const data = cube();
  await convertToSrgb({ data, width: 64, height: 64 }, tag);
  return data;
}

const cicp = (primaries: number, transfer: number): ColourTag => ({ kind: "cicp", primaries, transfer });

Deno.test("colour › an sRGB profile leaves every value as it is", async () => {
  const [tagged, untagged] = [fixture("unusual/srgb.png"), fixture("formats/interlaced.png")];
  assert.deepEqual((await decode(tagged, limits)).data, (await decode(untagged, limits)).data);
});

Deno.test("colour › code points of sRGB, of video and of nothing leave every value as it is", async () => {
  for (const [primaries, transfer] of [[1, 13], [1, 1], [2, 2], [1, 6], [0, 0], [255, 255]]) {
    assert.deepEqual(await convertedCube(cicp(primaries, transfer)), cube(), `${primaries}/${transfer}`);
  }
});

Deno.test("colour › grays stay gray, and white stays white, in every colour space", async () => {
  for (const primaries of [4, 5, 6, 7, 8, 9, 11, 12]) {
    const data = Uint8Array.from({ length: 256 * 4 }, (_, i) => i % 4 === 3 ? 255 : i >> 2);
    await convertToSrgb({ data, width: 256, height: 1 }, cicp(primaries, 13));
    for (let i = 0; i < 256; i++) {
      for (const value of data.subarray(4 * i, 4 * i + 3)) {
        assert.ok(Math.abs(value - i) <= 1, `${primaries}: ${i} became ${value}`);
      }
    }
  }
});

Deno.test("colour › HDR tones rise, keep their middle, and end at white", async () => {
  for (const transfer of [16, 18]) {
    const data = Uint8Array.from({ length: 256 * 4 }, (_, i) => i % 4 === 3 ? 255 : i >> 2);
    await convertToSrgb({ data, width: 256, height: 1 }, cicp(9, transfer));
    const tones = Array.from({ length: 256 }, (_, i) => data[4 * i]);
    assert.deepEqual(tones, tones.toSorted((a, b) => a - b));
    assert.deepEqual([tones[0], tones[255]], [0, 255]);
  }
});

Deno.test("colour › alpha is no colour", async () => {
  const data = Uint8Array.of(250, 10, 10, 7, 10, 250, 10, 0);
  await convertToSrgb({ data, width: 2, height: 1 }, cicp(12, 13));
  assert.deepEqual([data[3], data[7]], [7, 0]);
});

Deno.test("colour › a hostile profile is ignored", async () => {
  const p3 = profileOf(fixture("unusual/p3.jpg"));
  const hostile = Array.from({ length: p3.length / 4 }, (_, i) => {
    const copy = p3.slice();
    copy.fill(255, 4 * i, 4 * i + 4);
    return copy;
  });
  for (const profile of [new Uint8Array(), new Uint8Array(1000), new Uint8Array(9_000_000), ...hostile]) {
    const data = await convertedCube({ kind: "icc", profile });
    assert.equal(data.length, 4096 * 4);
  }
});

/** The profile in a JPEG file, from its only segment of one. */
function profileOf(jpeg: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const at = jpeg.findIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xe2);
  const length = (jpeg[at + 2] << 8) | jpeg[at + 3];
  return jpeg.slice(at + 4 + 14, at + 2 + length);
}
