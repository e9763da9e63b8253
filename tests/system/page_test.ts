import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import type { Locator, Page } from "playwright-core";
import { decode } from "../../src/image/decode.ts";
import { accessibilityFaults, TestBrowser } from "../support/browser.ts";
import { discImage, fixture } from "../support/images.ts";
import { compareMasks } from "../support/masks.ts";
import { RedisServer } from "../support/redis.ts";
import { TestServer } from "../support/server.ts";
import { UpstashGateway } from "../support/upstash_gateway.ts";

/** Ignored by git. */
const SCREENSHOTS = new URL("../../.screenshots/", import.meta.url);

const disc = async (seed: number, name = `disc-${seed}.png`) => ({
  name,
  mimeType: "image/png",
  buffer: Buffer.from(await discImage(seed)),
});
const photograph = (name: string) => ({ name, mimeType: "image/jpeg", buffer: Buffer.from(fixture(name)) });
const notes = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("Not an image.") };

/** The thumbnails, newest first. */
const gallery = (page: Page): Locator => page.getByRole("region", { name: "Your images" }).getByRole("button");
const source = (page: Page): Promise<string | null> => page.locator("#source").textContent();

/** Resolves once every picture is done or has failed. */
async function settled(page: Page): Promise<void> {
  await page.locator('#gallery [data-state="busy"]').first().waitFor({ state: "detached" });
  await page.locator('#work:not([data-state="busy"])').waitFor();
}

async function choose(page: Page, ...files: { name: string; mimeType: string; buffer: Buffer }[]): Promise<void> {
  await page.locator("#files").setInputFiles(files);
  await settled(page);
}

/**
 * Chooses a file that the server rejects, which every browser reports on its console.
 * @returns the `detail` of the server's problem details.
 */
async function chooseRejected(page: Page, file: { name: string; mimeType: string; buffer: Buffer }): Promise<string> {
  const reported = page.waitForEvent("console", (message) => message.type() === "error");
  const rejected = page.waitForResponse((response) => response.status() >= 400);
  await choose(page, file);
  await reported;
  return (await (await rejected).json() as { detail: string }).detail;
}

/** Makes a change that renders the cutout again, and waits for it. */
async function rendered(page: Page, change: () => Promise<unknown>): Promise<void> {
  const before = await page.locator("#after").getAttribute("src");
  await change();
  await page.locator(`#after:not([src="${before}"])`).waitFor();
  await settled(page);
}

/** The cutout that the page shows: its size and its alpha, row by row. */
async function alphaOf(page: Page): Promise<{ width: number; height: number; alpha: Uint8Array }> {
  const [width, height, base64] = await page.evaluate(`(async () => {
    const image = document.querySelector("#after");
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let text = "";
    for (let at = 3; at < data.length; at += 4) text += String.fromCharCode(data[at]);
    return [canvas.width, canvas.height, btoa(text)];
  })()`) as [number, number, string];
  return { width, height, alpha: Uint8Array.fromBase64(base64) };
}

/** The addresses that the page sends bodies to, from now on. */
function uploadsOf(page: Page): string[] {
  const uploads: string[] = [];
  page.on("request", (request) => {
    if (request.method() !== "GET") uploads.push(request.url());
  });
  return uploads;
}

/** Records every progress message and thumbnail label from now on. The returned function reads them. */
async function recordMessages(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(`{
    globalThis.messages = [];
    const record = () => {
      const labels = [...document.querySelectorAll("#gallery button")].map((button) => button.ariaLabel);
      messages.push(document.querySelector("#progress-text").textContent, ...labels);
    };
    new MutationObserver(record).observe(document.body, {
      subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label"],
    });
  }`);
  return async () => [...new Set(await page.evaluate("messages") as string[])];
}

Deno.test("page › images are cut out in a browser", async (t) => {
  await using server = await TestServer.start({
    // Slow inference, so that the page polls several times in each state.
    INFERENCE_THREADS: "1",
    // A memory hit at the start must still be one at the end.
    CACHE_LOCAL_TTL_SECONDS: "3600",
  });
  await using browser = await TestBrowser.start();
  await Deno.mkdir(SCREENSHOTS, { recursive: true });
  const screenshot = async (page: Page, name: string) => {
    await page.screenshot({ path: new URL(`${name}.png`, SCREENSHOTS).pathname, fullPage: true });
  };
  const page = await browser.open(server.url);
  const uploads = uploadsOf(page);
  let cutout: Awaited<ReturnType<typeof alphaOf>>;

  await t.step("a chosen image is transparent where the reference mask is", async () => {
    const messages = await recordMessages(page);
    await choose(page, photograph("coffee.jpg"));
    assert.equal(await source(page), "Inference");
    const said = (await messages()).join("\n");
    assert.match(said, /^Uploading, \d+%$/m);
    assert.match(said, /^Finding the subject$/m);
    cutout = await alphaOf(page);
    const reference = await decode(fixture("coffee.rembg-u2netp.mask.png"), { maxPixels: 1e6 });
    assert.deepEqual([cutout.width, cutout.height], [reference.width, reference.height]);
    const { meanDifference, intersectionOverUnion } = compareMasks(
      cutout.alpha,
      reference.data.filter((_, i) => i % 4 === 0),
    );
    assert.ok(meanDifference <= 0.005, `mean difference ${meanDifference}`);
    assert.ok(intersectionOverUnion >= 0.98, `IoU ${intersectionOverUnion}`);
    assert.deepEqual([uploads.length, await server.inferences()], [1, 1]);
    assert.match(await page.locator("#stages").innerText(), /model\s+[\d.]+ m?s/);
    assert.equal(await page.locator("#timing span").count(), await page.locator("#stages div").count());
    assert.match(await page.evaluate(`getComputedStyle(document.querySelector("#after")).backgroundImage`), /^conic/);
    assert.match(await page.locator("#status").innerText(), /^coffee\.jpg: done/);
    await screenshot(page, "result-light");
  });

  await t.step("the same image again is a hit without an upload, from memory and from the browser", async () => {
    for (const expected of ["Memory", "Browser"]) {
      await choose(page, photograph("coffee.jpg"));
      assert.equal(await source(page), expected);
      assert.match(await page.locator("#source-text").innerText(), /nothing uploaded/);
      assert.deepEqual(await alphaOf(page), cutout);
    }
    assert.deepEqual([uploads.length, await server.inferences()], [1, 1]);
  });

  await t.step("other options render from the cached cutout, without inference and without an upload", async () => {
    await rendered(page, () => page.getByLabel("Colour", { exact: true }).check());
    assert.equal(await source(page), "Cutout");
    assert.ok((await alphaOf(page)).alpha.every((alpha) => alpha === 255), "there is a background");
    await rendered(page, () => page.getByLabel("Transparent").check());
    assert.equal(uploads.length, 1);

    await rendered(page, () => page.getByLabel("Crop to the subject").check());
    const cropped = await alphaOf(page);
    assert.ok(cropped.width < cutout.width, `${cropped.width} pixels wide`);
    // With different frames, a slider would compare the wrong pixels.
    await page.locator("#split").waitFor({ state: "hidden" });
    await rendered(page, () => page.getByLabel("Margin").fill("0"));
    assert.ok((await alphaOf(page)).width < cropped.width);
    await rendered(page, () => page.getByLabel("Crop to the subject").uncheck());

    await rendered(page, () => page.getByLabel("Edges").selectOption("hair"));
    assert.notDeepEqual(await alphaOf(page), cutout);
    await rendered(page, () => page.getByLabel("Shadow").check());
    await rendered(page, () => page.getByLabel("Edges").selectOption("none"));
    await rendered(page, () => page.getByLabel("Shadow").uncheck());
    assert.deepEqual(await alphaOf(page), cutout);

    for (const format of ["webp", "jpeg", "png"]) {
      await rendered(page, () => page.getByLabel("Format").selectOption(format));
      const download = page.waitForEvent("download");
      await page.getByRole("link", { name: "Download" }).click();
      assert.equal((await download).suggestedFilename(), `coffee-cutout.${format}`);
    }
    await rendered(page, async () => {
      await page.getByLabel("Image", { exact: true }).check();
      await page.getByLabel("Background image").setInputFiles(await disc(1));
    });
    assert.equal(await source(page), "Mask");
    assert.ok((await alphaOf(page)).alpha.every((alpha) => alpha === 255), "there is a background");
    const sent = uploads.length;
    await rendered(page, () => page.getByLabel("Transparent").check());
    await rendered(page, () => page.getByLabel("Image", { exact: true }).check());
    await rendered(page, () => page.getByLabel("Transparent").check());
    assert.equal(uploads.length, sent);
    assert.equal(await server.inferences(), 1);
  });

  await t.step("several at once wait in line, show their positions and are all cut out", async () => {
    const messages = await recordMessages(page);
    await choose(page, ...await Promise.all([2, 3, 4, 6, 7].map((seed) => disc(seed))));
    assert.equal(await server.inferences(), 6);
    const said = (await messages()).join("\n");
    assert.match(said, /^disc-\d\.png: Waiting for the server, (next|2nd) in line$/m);
    for (const place of ["next", "2nd"]) {
      assert.match(said, new RegExp(`^disc-\\d\\.png: Waiting to upload, ${place} in line$`, "m"));
    }
    assert.deepEqual(
      (await gallery(page).evaluateAll((buttons) => buttons.map((button) => button.ariaLabel))).slice(0, 5),
      [7, 6, 4, 3, 2].map((seed) => `disc-${seed}.png: Done`),
    );
  });

  await t.step("an image whose options change in line keeps its place and is rendered once", async () => {
    const messages = await recordMessages(page);
    const sent = uploads.length;
    const held = Promise.withResolvers<void>();
    await page.route("**/cutouts", async (route) => {
      await held.promise;
      await route.continue();
    });
    let name: string;
    try {
      await page.locator("#files").setInputFiles(await Promise.all([8, 9, 10, 11, 12].map((seed) => disc(seed))));
      // Another image waits behind it, so that there is a place to lose.
      await gallery(page).and(page.getByLabel("Waiting to upload, 2nd")).waitFor();
      await gallery(page).and(page.getByLabel("Waiting to upload, next")).click();
      name = await page.locator("#name").innerText();
      await page.getByLabel("Colour", { exact: true }).check();
      // A task later, the page has handled the change.
      await page.evaluate("new Promise((resolve) => setTimeout(resolve))");
      assert.equal(await page.locator("#progress-text").innerText(), "Waiting to upload, next in line");
    } finally {
      held.resolve();
      await settled(page);
      await page.unroute("**/cutouts");
    }
    assert.equal(await source(page), "Inference");
    assert.ok((await alphaOf(page)).alpha.every((alpha) => alpha === 255), "there is a background");
    assert.ok(!(await messages()).includes(`${name}: Waiting to upload, 2nd in line`), name);
    assert.deepEqual([uploads.length - sent, await server.inferences()], [5, 11]);
    await rendered(page, () => page.getByLabel("Transparent").check());
  });

  await t.step("changing the options during inference costs no second inference", async () => {
    const messages = await recordMessages(page);
    await page.locator("#files").setInputFiles([await disc(5)]);
    while (!(await messages()).includes("disc-5.png: Finding the subject")) await delay(20);
    await page.getByLabel("Colour", { exact: true }).check();
    await page.locator("#source", { hasText: "Cutout" }).waitFor();
    await settled(page);
    assert.equal(await server.inferences(), 12);
    await rendered(page, () => page.getByLabel("Transparent").check());
  });

  await t.step("dropped and pasted images are accepted, and anything else gets advice", async () => {
    const bring = (type: "drop" | "paste", bytes: Uint8Array | undefined) =>
      page.evaluate(([type, base64]) => {
        // deno-lint-ignore no-explicit-any -- browser types, which Deno lacks.
        const { DataTransfer, ClipboardEvent, DragEvent, document } = globalThis as any;
        const data = new DataTransfer();
        if (base64) data.items.add(new File([Uint8Array.fromBase64(base64)], "image.png", { type: "image/png" }));
        const init = { bubbles: true, clipboardData: data, dataTransfer: data };
        document.body.dispatchEvent(type === "drop" ? new DragEvent(type, init) : new ClipboardEvent(type, init));
      }, [type, bytes?.toBase64()] as const);
    const known = await discImage(2);
    for (const [type, name] of [["drop", /^image\.png: Done$/], ["paste", /^pasted-\d{6}\.png: Done$/]] as const) {
      await bring(type, known);
      await settled(page);
      assert.match((await gallery(page).first().getAttribute("aria-label"))!, name);
      await bring(type, undefined);
      assert.match(await page.locator("#notice").innerText(), /(did not drop a file|contains no image)/);
    }
    assert.equal(await server.inferences(), 12);
  });

  await t.step("the camera takes one photo, however often the button is pressed", async () => {
    const before = await gallery(page).count();
    const take = page.getByRole("button", { name: "Take a photo" });
    for (let press = 0; press < 3; press++) await take.dispatchEvent("click");
    await page.locator("#viewfinder").evaluate(async (video) => {
      // deno-lint-ignore no-explicit-any -- browser types, which Deno lacks.
      while ((video as any).videoWidth === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    });
    await page.getByRole("button", { name: "Capture" }).click();
    await page.locator("#name", { hasText: "camera-" }).waitFor();
    await settled(page);
    assert.equal(await source(page), "Inference");
    assert.equal(await gallery(page).count(), before + 1);
  });

  await t.step("a cutout in any format is copied as PNG, and can be pasted wherever the focus is", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await rendered(page, () => page.getByLabel("Format").selectOption("webp"));
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Cutout copied to the clipboard.").waitFor();
    const types = await page.evaluate("navigator.clipboard.read().then(([item]) => item.types)");
    assert.deepEqual(types, ["image/png"]);
    await rendered(page, () => page.getByLabel("Format").selectOption("png"));
    await page.locator("#split").focus();
    await page.keyboard.press("Control+v");
    await page.getByRole("heading", { name: /^pasted-\d{6}\.png$/ }).waitFor();
    await settled(page);
  });

  await t.step("without crypto.subtle, as on plain http, images are uploaded at once", async () => {
    const plain = await browser.open(server.url.replace("127.0.0.1", "plain.test"));
    assert.equal(await plain.evaluate("crypto.subtle"), undefined);
    const sent = uploadsOf(plain);
    await choose(plain, photograph("coffee.jpg"));
    assert.match((await source(plain))!, /^(Memory|SQLite)$/);
    assert.deepEqual(await alphaOf(plain), cutout);
    // The first response included the digest.
    await rendered(plain, () => plain.getByLabel("Colour", { exact: true }).check());
    assert.equal(sent.length, 1);
    for (const name of ["Copy", "Take a photo"]) {
      assert.equal(await plain.getByRole("button", { name }).isVisible(), false, name);
    }
    await plain.context().close();
  });

  await t.step("the page works in a browser that blocks storage", async () => {
    const blocked = await browser.open(server.url);
    await blocked.addInitScript(`Object.defineProperty(globalThis, "sessionStorage", {
      get() { throw new DOMException("denied", "SecurityError"); },
    })`);
    await blocked.reload();
    await choose(blocked, photograph("coffee.jpg"));
    assert.equal(await source(blocked), "Memory");
    await blocked.context().close();
  });

  await t.step("everything works with the keyboard, and the focus is always visible", async () => {
    const view = await browser.open(server.url);
    const focused = async () => {
      const [name, outlined] = await view.evaluate(`(() => {
        const element = document.activeElement;
        const divider = getComputedStyle(document.querySelector(".divider"), "::after");
        const { outlineStyle } = element.id === "split" ? divider : getComputedStyle(element);
        return [element.id || element.ariaLabel || element.textContent, outlineStyle !== "none"];
      })()`) as [string, boolean];
      return { name, outlined };
    };
    const tabTo = async (wanted: string) => {
      for (let presses = 0; presses < 30; presses++) {
        await view.keyboard.press("Tab");
        const { name, outlined } = await focused();
        if (name !== "" && name !== "BODY") assert.ok(outlined, `${name} shows no focus`);
        if (name === wanted) return;
      }
      assert.fail(`${wanted} cannot be reached`);
    };
    const chooser = view.waitForEvent("filechooser");
    await tabTo("choose");
    await view.keyboard.press("Enter");
    await (await chooser).setFiles([photograph("coffee.jpg"), await disc(2)]);
    await settled(view);
    // It appears once both images have loaded.
    await view.locator("#split").waitFor();
    await tabTo("split");
    for (let i = 0; i < 10; i++) await view.keyboard.press("ArrowRight");
    assert.equal(await view.locator("#split").getAttribute("aria-valuetext"), "60% original, 40% cutout");
    const clip = await view.evaluate(`getComputedStyle(document.querySelector(".before")).clipPath`);
    assert.equal(clip, "inset(0px 40% 0px 0px)");
    await tabTo("download");
    await tabTo("copy");
    await tabTo("crop");
    await rendered(view, () => view.keyboard.press("Space"));
    await tabTo("format");
    await tabTo("disc-2.png: Done");
    await view.keyboard.press("Enter");
    assert.equal(await view.getByRole("heading", { level: 2 }).first().innerText(), "disc-2.png");
    // Arrow keys move through the backgrounds and back: the fields that appear do not take the focus.
    await view.getByLabel("Transparent").focus();
    for (const [key, chosen] of [["Down", "colour"], ["Down", "image"], ["Up", "colour"], ["Up", "none"]]) {
      await view.keyboard.press(`Arrow${key}`);
      assert.equal(await view.evaluate("document.activeElement.value"), chosen);
    }
    await settled(view);
    await view.context().close();
  });

  await t.step("a text file is rejected with an explanation and advice", async () => {
    assert.deepEqual(browser.errors, []);
    const detail = await chooseRejected(page, notes);
    const failure = page.locator("#failure");
    assert.match(
      await failure.innerText(),
      /The file is not an image, or it is damaged\s+Choose a JPEG, .*TIFF image\./,
    );
    assert.equal(await page.locator("#failure-detail").innerText(), `Server message: ${detail}.`);
    assert.equal(await page.getByRole("button", { name: "Try again" }).isVisible(), false);
    assert.match(await page.locator("#status").innerText(), /^notes\.txt: The file is not an image/);
    assert.deepEqual(browser.errors.splice(0), [
      `Failed to load resource: the server responded with a status of 400 (Bad Request) ${uploads.at(-1)}`,
    ]);
  });
  await page.context().close();

  await t.step("the page is accessible in every state, light and dark, wide and narrow", async () => {
    for (const width of [1280, 360]) {
      const view = await browser.open(server.url, { viewport: { width, height: 800 } });
      const check = async (state: string) => {
        for (const colorScheme of ["light", "dark"] as const) {
          await view.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          assert.deepEqual(await accessibilityFaults(view), [], `${state}, ${colorScheme}, ${width} px`);
          await screenshot(view, `${state}-${colorScheme}-${width}`);
        }
        assert.equal(await view.evaluate("document.documentElement.scrollWidth"), width, state);
      };
      await check("empty");
      await choose(view, photograph("coffee.jpg"));
      await check("result");
      await rendered(view, () => view.getByLabel("Crop to the subject").check());
      await check("cropped");
      await view.getByLabel("Image", { exact: true }).check();
      await check("background");
      const held = Promise.withResolvers<void>();
      await view.route("**/cutouts/*", async (route) => {
        await held.promise;
        await route.continue();
      });
      await view.getByLabel("Edges").selectOption("refine");
      await view.getByText("Checking the cache").waitFor();
      await check("busy");
      held.resolve();
      await settled(view);
      await view.getByRole("button", { name: "Take a photo" }).click();
      await view.getByRole("dialog").waitFor();
      await check("camera");
      await view.keyboard.press("Escape");
      assert.equal(await view.evaluate("document.activeElement.id"), "take-photo");
      await chooseRejected(view, notes);
      browser.errors.splice(0);
      await check("error");
      await view.context().close();
    }
  });

  await t.step("/docs begins with recipes, and fits on a few screens of a desktop", async () => {
    const docs = await browser.open(`${server.url}/docs`);
    assert.equal(await docs.locator("h2").first().textContent(), "Recipes");
    assert.equal(await docs.locator("main > section:first-of-type pre").count(), 6);
    assert.match((await docs.locator("#endpoints summary").first().textContent())!, /POST\s+\/cutouts /);
    const height = await docs.evaluate("document.documentElement.scrollHeight") as number;
    assert.ok(height < 8000, `${height} px`);
    await docs.goto(`${server.url}/docs#invalid_options`);
    assert.ok(await docs.locator("#invalid_options").isVisible(), "an error's link unfolds the table");
    await docs.close();
  });

  await t.step("/docs is accessible too", async () => {
    const docs = await browser.open(`${server.url}/docs`, { viewport: { width: 360, height: 800 } });
    for (const colorScheme of ["light", "dark"] as const) {
      await docs.emulateMedia({ colorScheme });
      assert.deepEqual(await accessibilityFaults(docs), [], colorScheme);
    }
    assert.equal(await docs.evaluate("document.documentElement.scrollWidth"), 360);
  });

  assert.deepEqual(browser.errors, []);
  assert.deepEqual(browser.foreignRequests, []);
});

Deno.test("page › explains tokens, limits, cutouts of another server and a server that is down", async () => {
  await using redis = await RedisServer.start();
  await using gateway = await UpstashGateway.start({ redisUrl: redis.url });
  const shared = gateway.environment;
  // A window that is very unlikely to end during the test.
  const server = await TestServer.start({ ...shared, API_TOKENS: "a-token-of-a-client", RATE_LIMIT: "4/1d" });
  await using _ = { [Symbol.asyncDispose]: () => server.stop().then(() => {}) };
  await using browser = await TestBrowser.start();
  const page = await browser.open(server.url);
  const failure = page.locator("#failure");

  await choose(page, await disc(1));
  assert.match(await failure.innerText(), /This server requires an access token\s+Enter the token/);
  assert.deepEqual(await accessibilityFaults(page), []);
  await page.getByLabel("Access token").fill("another-token");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("The access token is not accepted", { exact: true }).waitFor();
  await page.getByLabel("Access token").fill("a-token-of-a-client");
  await page.getByRole("button", { name: "Continue" }).click();
  assert.equal(await page.evaluate("document.activeElement.id"), "name", "the focus outlives the button");
  await page.locator("#source", { hasText: "Inference" }).waitFor();
  assert.equal(await failure.isVisible(), false);

  // Two requests each: a lookup and an upload.
  await choose(page, await disc(2));
  await choose(page, await disc(3));
  assert.match(await failure.innerText(), /too many requests\s+Try again in \d+ (hours|minutes|seconds)\./);
  assert.ok(await page.getByRole("button", { name: "Try again" }).isVisible());

  await server.settled();
  await using other = await TestServer.start({ ...shared, MAX_BODY_BYTES: "200000" });
  const sibling = await browser.open(other.url);
  await choose(sibling, await disc(1));
  assert.equal(await source(sibling), "Redis", "the other server made it");
  await choose(sibling, { name: "large.jpg", mimeType: "image/jpeg", buffer: Buffer.alloc(300_000) });
  assert.match(
    await sibling.locator("#failure").innerText(),
    /too large to upload\s+Resize or compress it.*\s+Server message: .*200 KB/,
  );

  await server.stop();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("The server cannot be reached", { exact: true }).waitFor();
  assert.match(await failure.innerText(), /Check your connection, then try again/);
  await page.context().setOffline(true);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("You are offline", { exact: true }).waitFor();
  assert.deepEqual(browser.foreignRequests, []);
});
