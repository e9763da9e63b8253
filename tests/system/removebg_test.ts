import assert from "node:assert/strict";
import { unzipSync } from "fflate";
import { decode } from "../../src/image/decode.ts";
import { discImage, fixture, paintImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 5_000_000 };

type Fields = Record<string, string | Uint8Array<ArrayBuffer>>;

interface Answer {
  status: number;
  headers: Headers;
  bytes: Uint8Array<ArrayBuffer>;
  // deno-lint-ignore no-explicit-any -- JSON of several shapes
  json: any;
}

async function read(response: Response): Promise<Answer> {
  const bytes = await response.bytes();
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const json = isJson ? JSON.parse(new TextDecoder().decode(bytes)) : undefined;
  return { status: response.status, headers: response.headers, bytes, json };
}

/** Sends fields as a form; bytes as a file. */
async function post(server: TestServer, fields: Fields, headers: Record<string, string> = {}): Promise<Answer> {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    body.set(name, typeof value === "string" ? value : new Blob([value]), ...(typeof value === "string" ? [] : ["a"]));
  }
  return await read(await server.fetch("/v1.0/removebg", { method: "POST", body, headers }));
}

async function image(answer: Answer) {
  assert.equal(answer.status, 200, new TextDecoder().decode(answer.bytes.subarray(0, 300)));
  return await decode(answer.bytes, limits);
}

const numbers = (headers: Headers, ...names: string[]) => names.map((name) => Number(headers.get(`X-${name}`)));
const foreground = (headers: Headers) =>
  numbers(headers, "Foreground-Left", "Foreground-Top", "Foreground-Width", "Foreground-Height");

Deno.test("removebg › the dialect, of a started server", async (t) => {
  await using server = await TestServer.quick();
  const rocket = fixture("rocket.jpg"); // 640×427
  const full = { image_file: rocket, size: "full" };

  await t.step("the three ways to write a request are answered the same", async () => {
    const form = await post(server, { image_file: rocket });
    const { width, height } = await image(form);
    assert.ok(width * height <= 250_000 && width * height > 245_000, `preview: ${width}×${height}`);
    assert.equal(form.headers.get("Content-Type"), "image/png");
    const asJson = await read(
      await server.fetch("/v1.0/removebg", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ image_file_b64: rocket.toBase64(), crop: false, size: "regular", add_shadow: false }),
      }),
    );
    const urlencoded = await read(
      await server.fetch("/v1.0/removebg", {
        method: "POST",
        body: new URLSearchParams({ image_file_b64: rocket.toBase64(), size: "small", bg_color: "" }),
      }),
    );
    assert.deepEqual(asJson.bytes, form.bytes);
    assert.deepEqual(urlencoded.bytes, form.bytes);
    assert.match(urlencoded.headers.get("Cache-Status")!, /hit; detail=memory/);
  });

  await t.step("headers tell the result's size and where in it the subject is, on misses and hits", async () => {
    for (let i = 0; i < 2; i++) {
      const answer = await post(server, full);
      const { data, width, height } = await image(answer);
      assert.deepEqual(numbers(answer.headers, "Width", "Height"), [width, height]);
      assert.deepEqual([width, height], [640, 427]);
      const [left, top, boxWidth, boxHeight] = foreground(answer.headers);
      const visible = (x: number, y: number) => data[(y * width + x) * 4 + 3] >= 13;
      const rows = [...Array(height).keys()].filter((y) => [...Array(width).keys()].some((x) => visible(x, y)));
      const columns = [...Array(width).keys()].filter((x) => [...Array(height).keys()].some((y) => visible(x, y)));
      assert.deepEqual([left, left + boxWidth - 1], [columns[0], columns.at(-1)]);
      assert.deepEqual([top, top + boxHeight - 1], [rows[0], rows.at(-1)]);
      assert.equal(answer.headers.get("X-Credits-Charged"), "0");
      assert.equal(answer.headers.get("X-Type"), "other");
    }
  });

  await t.step("X-Type is the type that was asked for, and is left out with type_level=none", async () => {
    assert.equal((await post(server, { ...full, type: "car" })).headers.get("X-Type"), "car");
    assert.equal((await post(server, { ...full, type_level: "none" })).headers.get("X-Type"), null);
  });

  await t.step("Accept: application/json gives base64 and the subject's box", async () => {
    const file = await post(server, full);
    for (let i = 0; i < 2; i++) {
      const { json, headers } = await post(server, full, { Accept: "application/json" });
      assert.deepEqual(Uint8Array.fromBase64(json.data.result_b64), file.bytes);
      const { foreground_left, foreground_top, foreground_width, foreground_height } = json.data;
      assert.deepEqual([foreground_left, foreground_top, foreground_width, foreground_height], foreground(headers));
      assert.deepEqual(foreground(headers), foreground(file.headers));
    }
  });

  await t.step(
    "format: auto is PNG where anything is transparent, else JPEG; zip holds colours and alpha",
    async () => {
      const red = await post(server, { ...full, bg_color: "f00" });
      assert.equal(red.headers.get("Content-Type"), "image/jpeg");
      const half = await post(server, { ...full, bg_color: "ff000080" });
      assert.equal(half.headers.get("Content-Type"), "image/png");
      assert.equal((await post(server, { ...full, format: "webp" })).headers.get("Content-Type"), "image/webp");

      const png = await image(await post(server, full));
      const zip = await post(server, { ...full, format: "zip" });
      assert.equal(zip.headers.get("Content-Type"), "application/zip");
      const files = unzipSync(zip.bytes) as Record<string, Uint8Array<ArrayBuffer>>;
      assert.deepEqual(Object.keys(files).sort(), ["alpha.png", "color.jpg"]);
      const [alpha, colour] = await Promise.all([
        decode(files["alpha.png"], limits),
        decode(files["color.jpg"], limits),
      ]);
      let error = 0;
      let count = 0;
      for (let at = 0; at < png.data.length; at += 4) {
        assert.equal(alpha.data[at], png.data[at + 3]);
        assert.equal(colour.data[at + 3], 255);
        if (png.data[at + 3] < 128) continue;
        for (let channel = 0; channel < 3; channel++) {
          error += Math.abs(
            png.data[at + channel] - colour.data[at + channel],
          );
        }
        count += 3;
      }
      assert.ok(error / count < 4, `colours differ by ${error / count} on average`);
    },
  );

  await t.step("roi, scale, position, crop and crop_margin", async () => {
    const [left, top, width, height] = foreground((await post(server, full)).headers);
    const upper = await post(server, { ...full, roi: `0px 0px 640px ${top + 100}px` });
    assert.deepEqual(foreground(upper.headers)[3], 100);
    const placed = await post(server, { ...full, scale: "50%", position: "100% 0%" });
    const [placedLeft, placedTop, placedWidth, placedHeight] = foreground(placed.headers);
    assert.deepEqual(numbers(placed.headers, "Width", "Height"), [640, 427]);
    assert.ok(Math.abs(placedHeight - 213) <= 2 && placedTop <= 1, `${placedTop}, ${placedHeight}`);
    assert.ok(Math.abs(placedLeft + placedWidth - 640) <= 1 && placedWidth < 640 / 2, `${placedLeft}+${placedWidth}`);
    const cropped = await post(server, { ...full, crop: "true", crop_margin: "10px 20px" });
    const expected = [
      Math.min(640, left + width + 20) - Math.max(0, left - 20),
      Math.min(427, top + height + 10) - Math.max(0, top - 10),
    ];
    assert.deepEqual(numbers(cropped.headers, "Width", "Height"), expected);
  });

  await t.step("channels=alpha is the mask, semitransparency=false makes the subject solid", async () => {
    const [mask, cutout] = [
      await image(await post(server, { ...full, channels: "alpha" })),
      await image(
        await post(server, full),
      ),
    ];
    assert.ok(cutout.data.every((value, i) => i % 4 !== 3 || value === mask.data[i - 1]));
    const solid = await image(await post(server, { ...full, semitransparency: "false" }));
    assert.ok(solid.data.every((value, i) => i % 4 !== 3 || value >= cutout.data[i]));
  });

  await t.step("bg_image_file: the subject is put on the picture, and another picture is another result", async () => {
    const pictures = await Promise.all(
      [[0, 0, 255], [0, 255, 0]].map((colour) => paintImage(8, 8, () => colour as [number, number, number])),
    );
    for (const [i, picture] of pictures.entries()) {
      const answer = await post(server, { ...full, format: "png", bg_image_file: picture });
      const { data } = await image(answer);
      assert.deepEqual([...data.subarray(0, 4)], i === 0 ? [0, 0, 255, 255] : [0, 255, 0, 255]);
      assert.deepEqual(foreground(answer.headers), foreground((await post(server, full)).headers));
      const again = await post(server, { ...full, format: "png", bg_image_file: picture });
      assert.match(again.headers.get("Cache-Status")!, /hit; detail=memory/);
    }
    const asked = await post(server, { ...full, bg_image_file: pictures[0] });
    assert.equal(asked.headers.get("Content-Type"), "image/jpeg");
  });
  assert.equal(await server.inferences(), 1, "one photograph, one inference");

  await t.step("wrong requests are answered in remove.bg's shape, with its codes", async (t) => {
    const wrong: [what: string, fields: Fields, status: number, code: string, message: RegExp][] = [
      ["no image", { size: "full" }, 400, "missing_source", /image_file_b64/],
      ["two images", { ...full, image_file_b64: "AAAA" }, 400, "multiple_sources", /just one/],
      [
        "two backgrounds",
        { ...full, bg_color: "red", bg_image_file: rocket },
        400,
        "multiple_bg_sources",
        /at most one/,
      ],
      ["no base64", { image_file_b64: "?" }, 400, "failed_to_read_image", /base64/],
      ["no image at all", { image_file: new Uint8Array([1, 2, 3]) }, 400, "failed_to_read_image", /no image/],
      ["a background that is none", { ...full, bg_image_file: new Uint8Array([1]) }, 400, "invalid_bg_image_file", /./],
      ["too many pixels", { image_file: hugeHeader() }, 400, "resolution_too_high", /at most 50000000/],
      ["a size unknown", { ...full, size: "huge" }, 400, "invalid_size", /"preview"/],
      ["a type unknown", { ...full, type: "ghost" }, 400, "invalid_type", /"person"/],
      ["a format unknown", { ...full, format: "gif" }, 400, "invalid_format", /"zip"/],
      ["a colour unknown", { ...full, bg_color: "reddish" }, 400, "invalid_bg_color", /bg_color: "reddish"/],
      ["channels unknown", { ...full, channels: "rgb" }, 400, "invalid_channels", /"alpha"/],
      ["a margin too wide", { ...full, crop: "true", crop_margin: "60%" }, 400, "invalid_crop_margin", /50%/],
      ["a margin that is none", { ...full, crop: "true", crop_margin: "x" }, 400, "invalid_crop_margin", /"10%"/],
      ["a scale too small", { ...full, scale: "5%" }, 400, "invalid_scale", /"10%" to "100%"/],
      ["a position unknown", { ...full, position: "left" }, 400, "invalid_position", /"center"/],
      ["a region that is none", { ...full, roi: "1 2 3" }, 400, "invalid_roi", /x1 y1 x2 y2/],
      ["a region beyond", { ...full, roi: "0px 0px 641px 10px" }, 400, "roi_exceeds_bounds", /640×427/],
      ["a region of nothing", { ...full, roi: "9px 0px 9px 10px" }, 400, "roi_region_empty", /no pixels/],
      ["no subject in the region", { ...full, roi: "0px 0px 2px 2px" }, 400, "unknown_foreground", /foreground/],
      ["a shadow", { ...full, add_shadow: "true" }, 400, "invalid_add_shadow", /shadows are not made here/],
      ["a kind of shadow", { ...full, shadow_type: "drop" }, 400, "invalid_shadow_type", /shadows are not made here/],
      ["an unknown parameter", { ...full, colour: "red" }, 400, "unknown_parameter", /colour/],
      ["no URL", { image_url: "ftp://example.com/a.jpg" }, 400, "invalid_image_url", /http\(s\)/],
      ["a URL where none is fetched", { image_url: "http://a.test/" }, 400, "failed_image_download", /send the image/],
      ["a background's", { ...full, bg_image_url: "http://a.test/" }, 400, "failed_bg_download", /send the image/],
    ];
    for (const [what, fields, status, code, message] of wrong) {
      await t.step(what, async () => {
        const answer = await post(server, fields);
        const { errors } = answer.json;
        assert.deepEqual([answer.status, errors[0].code], [status, code]);
        assert.match(`${errors[0].title}: ${errors[0].detail}`, message);
      });
    }
    const several = await post(server, { ...full, scale: "x", roi: "y" });
    assert.deepEqual(several.json.errors.map(({ code }: { code: string }) => code), ["invalid_roi", "invalid_scale"]);
    const noForm = await read(await server.fetch("/v1.0/removebg", { method: "POST", body: "hello" }));
    assert.deepEqual([noForm.status, noForm.json.errors[0].code], [400, "unsupported_content_type"]);
    const get = await read(await server.fetch("/v1.0/removebg"));
    assert.deepEqual([get.status, get.json.errors[0].code, get.headers.get("Allow")], [
      405,
      "method_not_allowed",
      "POST",
    ]);
  });

  await t.step("what one request asks wrongly of an image does no harm to another for the same image", async () => {
    const disc = { image_file: await discImage(77, 200) };
    const [bad, good] = await Promise.all([post(server, { ...disc, roi: "0px 0px 999px 9px" }), post(server, disc)]);
    assert.deepEqual([bad.status, good.status], [400, 200]);
  });

  await t.step("GET /v1.0/account has the documented shape; nothing is charged", async () => {
    const { status, json } = await read(await server.fetch("/v1.0/account"));
    assert.equal(status, 200);
    assert.deepEqual(json.data.attributes.credits, { total: 0, subscription: 0, payg: 0, enterprise: 0 });
    assert.ok(json.data.attributes.api.free_calls > 1e9);
    assert.equal(json.data.attributes.api.sizes, "all");
  });

  await t.step("a picture that is only named cannot be put behind a subject, by any dialect", async () => {
    const { response, answer } = await server.predict("a", new Uint8Array(), {
      body: JSON.stringify({
        file_path: "a",
        img_base64: rocket.toBase64(),
        options: { background_image: "0".repeat(64) },
      }),
    });
    assert.deepEqual([response.status, answer.error!.code], [422, "background_missing"]);
  });
});

Deno.test("removebg › layouts survive a restart, and a body over the limit is file_too_large", async () => {
  const cacheDir = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  try {
    const disc = { image_file: await discImage(5, 200) };
    let before: Headers;
    {
      await using server = await TestServer.quick({ CACHE_DIR: cacheDir });
      before = (await post(server, disc)).headers;
      await server.settled();
    }
    await using server = await TestServer.quick({ CACHE_DIR: cacheDir, MAX_BODY_BYTES: "100000" });
    const { headers } = await post(server, disc);
    assert.match(headers.get("Cache-Status")!, /hit; detail=sqlite/);
    assert.deepEqual(foreground(headers), foreground(before));
    assert.deepEqual(numbers(headers, "Width", "Height"), [200, 200]);
    const { status, json } = await post(server, { image_file: new Uint8Array(100_001) });
    assert.deepEqual([status, json.errors[0].code], [400, "file_too_large"]);
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});

/** A BMP header (BITMAPINFOHEADER) of 30,000×30,000 pixels, without them. */
function hugeHeader(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(54);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode("BM"));
  view.setUint32(10, 54, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, 30_000, true);
  view.setInt32(22, 30_000, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  return bytes;
}
