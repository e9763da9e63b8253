import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { decode } from "../../src/image/decode.ts";
import { fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const image = fixture("coffee.jpg");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const address = `/cutouts/${sha256(image)}`;

/** The digest of a picture's visible pixels. */
async function pictureOf(file: Uint8Array<ArrayBuffer>): Promise<string> {
  const { data, width, height } = await decode(file, { maxPixels: 1e6 });
  return `${width}×${height} ${sha256(data)}`;
}

async function upload(server: TestServer, query = ""): Promise<Uint8Array<ArrayBuffer>> {
  const response = await server.fetch(`/cutouts${query}`, { method: "POST", body: image });
  assert.equal(response.status, 200);
  return await response.bytes();
}

Deno.test("by address › a cached cutout is rendered with other options, without an upload", async (t) => {
  await using uploads = await TestServer.quick();
  await using server = await TestServer.quick();
  await upload(server);
  const queries = [
    "background=white",
    "crop=true&margin=10%25",
    "canvas=300x400&background=white&format=jpeg",
    "size=400x&format=webp&quality=100",
    "threshold=128",
    "solid=true&roi=0%25 0%25 50%25 100%25",
    "scale=50%25&position=0%25",
    "channels=alpha",
    "shadow=true",
    "shadow=true&shadow_opacity=80&background=white&size=200x",
  ];
  for (const query of queries) {
    await t.step(`${query}: the picture that an upload gives`, async () => {
      const response = await server.fetch(`${address}?${query}`);
      assert.match(response.headers.get("Cache-Status")!, /fwd=miss; stored; detail=cutout/);
      const file = await response.bytes();
      assert.equal(await pictureOf(file), await pictureOf(await upload(uploads, `?${query}`)));
      const again = await server.fetch(`${address}?${query}`);
      assert.match(again.headers.get("Cache-Status")!, /; hit; detail=memory/);
      assert.equal(sha256(await again.bytes()), sha256(file));
    });
  }
  for (const query of ["feather=4", "smooth=true", "feather=4&background=white"]) {
    await t.step(`${query}: colours where the background was removed`, async () => {
      const [got, wanted] = await Promise.all(
        [await (await server.fetch(`${address}?${query}`)).bytes(), await upload(uploads, `?${query}`)]
          .map((file) => decode(file, { maxPixels: 1e6 })),
      );
      let [difference, count] = [0, 0];
      for (let i = 0; i < got.data.length; i += 4) {
        assert.equal(got.data[i + 3], wanted.data[i + 3], "alpha");
        const alpha = got.data[i + 3] / 255;
        for (let c = 0; c < 3; c++) difference += alpha * Math.abs(got.data[i + c] - wanted.data[i + c]);
        count += 3 * alpha;
      }
      assert.ok(difference / count < 1, `colours differ by ${difference / count} of 255 on average`);
    });
  }
  assert.equal(await server.inferences(), 1);
});

Deno.test("by address › any tier's cutout suffices, and only what needs the image is 404", async (t) => {
  const cacheDir = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(cacheDir, { recursive: true }) };
  const missing = async (server: TestServer, path: string, reason: RegExp) => {
    const response = await server.fetch(path);
    const { code, detail } = await response.json();
    assert.deepEqual([response.status, code], [404, "not_cached"]);
    assert.match(detail, reason);
  };
  {
    await using server = await TestServer.quick({ CACHE_DIR: cacheDir });
    await missing(
      server,
      `${address}?background=white`,
      /neither this cutout nor one to render it from; post the image/,
    );
    await upload(server);
    await missing(server, `${address}?refine=true`, /neither/);
    await missing(server, `${address}?background_image=${"0".repeat(64)}`, /its options need the image itself/);
    await missing(server, `${address}?matting=hair&shadow=true`, /neither/);
    for (const matting of ["refine=true", "matting=hair"]) {
      await upload(server, `?${matting}`);
      const matted = await server.fetch(`${address}?${matting}&background=white`);
      assert.match(matted.headers.get("Cache-Status")!, /detail=cutout/);
      await matted.body?.cancel();
    }
    const { status, body } = await server.fetch(`${address}?roi=0px 0px 9999px 9px`);
    await body?.cancel();
    assert.equal(status, 422);
    await server.settled();
  }
  await t.step("after a restart, from disk", async () => {
    await using server = await TestServer.quick({ CACHE_DIR: cacheDir });
    const responses = await Promise.all(["white", "white", "red"].map(async (colour) => {
      const response = await server.fetch(`${address}?background=${colour}&size=100x`);
      await response.body?.cancel();
      return [response.status, /detail=(\w+)/.exec(response.headers.get("Cache-Status")!)![1]];
    }));
    assert.deepEqual(responses, Array(3).fill([200, "cutout"]));
    assert.equal(await server.inferences(), 0);
  });
});
