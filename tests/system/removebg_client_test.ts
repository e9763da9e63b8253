import assert from "node:assert/strict";
import fs from "node:fs";
import * as client from "remove.bg";
import unirest from "unirest";
import { decode } from "../../src/image/decode.ts";
import { fixture } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 5_000_000 };

// Node.js's other name for this class, which the client's HTTP library uses and Deno lacks.
Object.assign(fs, { FileReadStream: fs.ReadStream });

/** Redirects the npm package `remove.bg`, whose URL is fixed, by replacing `post` of its HTTP library. */
async function withBaseUrl(url: string, use: () => Promise<void>): Promise<void> {
  const { post } = unirest;
  unirest.post = (address: string, ...more: unknown[]) => post(address.replace("https://api.remove.bg", url), ...more);
  try {
    await use();
  } finally {
    unirest.post = post;
  }
}

Deno.test("remove.bg client › the published npm package works with this server", async (t) => {
  await using server = await TestServer.quick();
  const rocket = fixture("rocket.jpg");
  await withBaseUrl(server.url, async () => {
    await t.step("base64", async () => {
      const result = await client.removeBackgroundFromImageBase64({
        apiKey: "anything",
        base64img: rocket.toBase64(),
        size: "full",
        crop: true,
        crop_margin: "10px",
      });
      const { width, height } = await decode(Uint8Array.fromBase64(result.base64img), limits);
      assert.deepEqual([Number(result.resultWidth), Number(result.resultHeight)], [width, height]);
      assert.ok(width < 300, `cropped to ${width}×${height}`);
      assert.equal(Number(result.creditsCharged), 0);
      assert.equal(result.detectedType, "other");
    });

    await t.step("a file in a form", async () => {
      const outputFile = await Deno.makeTempFile({ suffix: ".jpg" });
      try {
        const path = new URL("../fixtures/rocket.jpg", import.meta.url).pathname;
        const result = await client.removeBackgroundFromImageFile({
          apiKey: "anything",
          path,
          size: "regular",
          bg_color: "ffffff",
          scale: "80%",
          outputFile,
        });
        const written = await Deno.readFile(outputFile);
        assert.deepEqual(written, Uint8Array.fromBase64(result.base64img));
        assert.deepEqual([...written.subarray(0, 2)], [0xff, 0xd8], "a JPEG, since nothing is transparent");
      } finally {
        await Deno.remove(outputFile);
      }
    });

    await t.step("errors", async () => {
      const faults: { title: string; code: string }[] = await client.removeBackgroundFromImageBase64({
        apiKey: "anything",
        base64img: rocket.toBase64(),
        roi: "0px 0px 9999px 10px",
      }).then(() => assert.fail("the request succeeded"), (errors) => errors);
      assert.deepEqual(faults.map(({ code }) => code), ["roi_exceeds_bounds"]);
    });
  });
});
