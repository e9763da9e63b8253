import assert from "node:assert/strict";
import { unzipSync } from "fflate";
import { decode } from "../../src/image/decode.ts";
import { discImage, fixture, paintImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const limits = { maxPixels: 5_000_000 };

type Fields = Record<string, string | Uint8Array<ArrayBuffer>>;

interface Result {
  status: number;
  headers: Headers;
  bytes: Uint8Array<ArrayBuffer>;
  // deno-lint-ignore no-explicit-any -- several JSON formats
  json: any;
}

async function read(response: Response): Promise<Result> {
  const bytes = await response.bytes();
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const json = isJson ? JSON.parse(new TextDecoder().decode(bytes)) : undefined;
  return { status: response.status, headers: response.headers, bytes, json };
}

/** Sends fields as a form, and bytes as files. */
async function post(server: TestServer, fields: Fields, headers: Record<string, string> = {}): Promise<Result> {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    body.set(name, typeof value === "string" ? value : new Blob([value]), ...(typeof value === "string" ? [] : ["a"]));
  }
  return await read(await server.fetch("/v1.0/removebg", { method: "POST", body, headers }));
}

async function image(result: Result) {
  assert.equal(result.status, 200, new TextDecoder().decode(result.bytes.subarray(0, 300)));
  return await decode(result.bytes, limits);
}

const numbers = (headers: Headers, ...names: string[]) => names.map((name) => Number(headers.get(`X-${name}`)));
const foreground = (headers: Headers) =>
  numbers(headers, "Foreground-Left", "Foreground-Top", "Foreground-Width", "Foreground-Height");

Deno.test("remove.bg › API 1.0", async (t) => {
  await using server = await TestServer.quick();
  const rocket = fixture("rocket.jpg"); // 640×427
  const full = { image_file: rocket, size: "full" };

  await t.step("forms, JSON and URL-encoded requests get the same response", async () => {
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

  await t.step("headers contain the size of the result and the box of the subject, on misses and hits", async () => {
    for (let i = 0; i < 2; i++) {
      const result = await post(server, full);
      const { data, width, height } = await image(result);
      assert.deepEqual(numbers(result.headers, "Width", "Height"), [width, height]);
      assert.deepEqual([width, height], [640, 427]);
      const [left, top, boxWidth, boxHeight] = foreground(result.headers);
      const visible = (x: number, y: number) => data[(y * width + x) * 4 + 3] >= 13;
      const rows = [...Array(height).keys()].filter((y) => [...Array(width).keys()].some((x) => visible(x, y)));
      const columns = [...Array(width).keys()].filter((x) => [...Array(height).keys()].some((y) => visible(x, y)));
      assert.deepEqual([left, left + boxWidth - 1], [columns[0], columns.at(-1)]);
      assert.deepEqual([top, top + boxHeight - 1], [rows[0], rows.at(-1)]);
      assert.equal(result.headers.get("X-Credits-Charged"), "0");
      assert.equal(result.headers.get("X-Type"), "other");
    }
  });

  await t.step("X-Type is the requested type, and is missing with type_level=none", async () => {
    assert.equal((await post(server, { ...full, type: "car" })).headers.get("X-Type"), "car");
    assert.equal((await post(server, { ...full, type_level: "none" })).headers.get("X-Type"), null);
  });

  await t.step("Accept: application/json returns base64 and the box of the subject", async () => {
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
    "format: auto is PNG if anything is transparent, otherwise JPEG; zip contains colours and alpha",
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

  await t.step("channels=alpha is the mask, and semitransparency=false makes the subject opaque", async () => {
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

  await t.step(
    "bg_image_file: the subject is placed on the picture, and another picture gives another result",
    async () => {
      const pictures = await Promise.all(
        [[0, 0, 255], [0, 255, 0]].map((colour) => paintImage(8, 8, () => colour as [number, number, number])),
      );
      for (const [i, picture] of pictures.entries()) {
        const result = await post(server, { ...full, format: "png", bg_image_file: picture });
        const { data } = await image(result);
        assert.deepEqual([...data.subarray(0, 4)], i === 0 ? [0, 0, 255, 255] : [0, 255, 0, 255]);
        assert.deepEqual(foreground(result.headers), foreground((await post(server, full)).headers));
        const again = await post(server, { ...full, format: "png", bg_image_file: picture });
        assert.match(again.headers.get("Cache-Status")!, /hit; detail=memory/);
      }
      const auto = await post(server, { ...full, bg_image_file: pictures[0] });
      assert.equal(auto.headers.get("Content-Type"), "image/jpeg");
    },
  );
  assert.equal(await server.inferences(), 1, "one photograph takes one inference");

  await t.step("invalid requests get errors in remove.bg's format, with its codes", async (t) => {
    const invalid: [name: string, fields: Fields, status: number, code: string, message: RegExp][] = [
      ["no image", { size: "full" }, 400, "missing_source", /image_file_b64/],
      ["two images", { ...full, image_file_b64: "AAAA" }, 400, "multiple_sources", /exactly one/],
      [
        "two backgrounds",
        { ...full, bg_color: "red", bg_image_file: rocket },
        400,
        "multiple_bg_sources",
        /at most one/,
      ],
      ["invalid base64", { image_file_b64: "?" }, 400, "failed_to_read_image", /base64/],
      ["not an image", { image_file: new Uint8Array([1, 2, 3]) }, 400, "failed_to_read_image", /not an image/],
      ["an invalid background", { ...full, bg_image_file: new Uint8Array([1]) }, 400, "invalid_bg_image_file", /./],
      ["too many pixels", { image_file: hugeHeader() }, 400, "resolution_too_high", /at most 50000000/],
      ["an unknown size", { ...full, size: "huge" }, 400, "invalid_size", /"preview"/],
      ["an unknown type", { ...full, type: "ghost" }, 400, "invalid_type", /"person"/],
      ["an unknown format", { ...full, format: "gif" }, 400, "invalid_format", /"zip"/],
      ["an unknown colour", { ...full, bg_color: "reddish" }, 400, "invalid_bg_color", /bg_color: "reddish"/],
      ["unknown channels", { ...full, channels: "rgb" }, 400, "invalid_channels", /"alpha"/],
      ["a margin that is too wide", { ...full, crop: "true", crop_margin: "60%" }, 400, "invalid_crop_margin", /50%/],
      ["an invalid margin", { ...full, crop: "true", crop_margin: "x" }, 400, "invalid_crop_margin", /"10%"/],
      ["a scale that is too small", { ...full, scale: "5%" }, 400, "invalid_scale", /"10%" to "100%"/],
      ["an unknown position", { ...full, position: "left" }, 400, "invalid_position", /"center"/],
      ["an invalid region", { ...full, roi: "1 2 3" }, 400, "invalid_roi", /x1 y1 x2 y2/],
      ["a region beyond the image", { ...full, roi: "0px 0px 641px 10px" }, 400, "roi_exceeds_bounds", /640×427/],
      ["an empty region", { ...full, roi: "9px 0px 9px 10px" }, 400, "roi_region_empty", /no pixels/],
      ["no subject in the region", { ...full, roi: "0px 0px 2px 2px" }, 400, "unknown_foreground", /foreground/],
      ["a shadow type", { ...full, shadow_type: "3D" }, 400, "invalid_shadow_type", /only drop shadows/],
      ["a shadow", { ...full, add_shadow: "perhaps" }, 400, "invalid_add_shadow", /./],
      ["an unknown parameter", { ...full, colour: "red" }, 400, "unknown_parameter", /colour/],
      ["a URL that is not http(s)", { image_url: "ftp://example.com/a.jpg" }, 400, "invalid_image_url", /http\(s\)/],
      ["a URL with fetching off", { image_url: "http://a.test/" }, 400, "failed_image_download", /send the image/],
      [
        "a background URL with fetching off",
        { ...full, bg_image_url: "http://a.test/" },
        400,
        "failed_bg_download",
        /send the image/,
      ],
    ];
    for (const [name, fields, status, code, message] of invalid) {
      await t.step(name, async () => {
        const result = await post(server, fields);
        const { errors } = result.json;
        assert.deepEqual([result.status, errors[0].code], [status, code]);
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

  await t.step("invalid options of one request do not affect another request for the same image", async () => {
    const disc = { image_file: await discImage(77, 200) };
    const [invalid, valid] = await Promise.all([
      post(server, { ...disc, roi: "0px 0px 999px 9px" }),
      post(server, disc),
    ]);
    assert.deepEqual([invalid.status, valid.status], [400, 200]);
  });

  await t.step("GET /v1.0/account has the documented format, and nothing is charged", async () => {
    const { status, json } = await read(await server.fetch("/v1.0/account"));
    assert.equal(status, 200);
    assert.deepEqual(json.data.attributes.credits, { total: 0, subscription: 0, payg: 0, enterprise: 0 });
    assert.ok(json.data.attributes.api.free_calls > 1e9);
    assert.equal(json.data.attributes.api.sizes, "all");
  });

  await t.step("no API accepts a background picture that the request does not contain", async () => {
    const { response, body } = await server.predict("a", new Uint8Array(), {
      body: JSON.stringify({
        file_path: "a",
        img_base64: rocket.toBase64(),
        options: { background_image: "0".repeat(64) },
      }),
    });
    assert.deepEqual([response.status, body.error!.code], [422, "background_missing"]);
  });
});

Deno.test("remove.bg › layouts survive a restart, and a body over the limit is file_too_large", async () => {
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

/** A BMP header (BITMAPINFOHEADER) of 30,000×30,000 pixels, without pixels. */
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
