/**
 * Takes the screenshots that the README shows: `deno run -A docs/page/screenshots.ts`.
 *
 * Needs Chromium, which the tests install.
 */
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { TestBrowser } from "../../tests/support/browser.ts";
import { fixture } from "../../tests/support/images.ts";
import { TestServer } from "../../tests/support/server.ts";

const WEBP_QUALITY = 0.8;

/** Chooses fixtures and waits for their cutouts. */
async function choose(page: Page, ...names: string[]): Promise<void> {
  const files = names.map((name) => ({ name, mimeType: "image/jpeg", buffer: Buffer.from(fixture(name)) }));
  await page.locator("#files").setInputFiles(files);
  for (const name of names) await page.getByRole("button", { name: `${name}: Done` }).waitFor();
}

/** Playwright writes no WebP, so Chromium itself converts its PNG. */
async function save(page: Page, name: string, screenshot: Uint8Array): Promise<void> {
  const base64 = await page.evaluate(`(async () => {
    const blob = new Blob([Uint8Array.fromBase64("${screenshot.toBase64()}")]);
    const bitmap = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    const webp = await canvas.convertToBlob({ type: "image/webp", quality: ${WEBP_QUALITY} });
    return new Uint8Array(await webp.arrayBuffer()).toBase64();
  })()`) as string;
  await Deno.writeFile(new URL(`${name}.webp`, import.meta.url), Uint8Array.fromBase64(base64));
}

await using server = await TestServer.start();
await using browser = await TestBrowser.start();

const light = await browser.open(server.url, { viewport: { width: 1180, height: 900 }, colorScheme: "light" });
await choose(light, "chelsea.jpg", "rocket.jpg", "astronaut.jpg");
// On its own, so that the time shown includes no waiting for the others.
await choose(light, "coffee.jpg");
await save(light, "light", await light.screenshot({ fullPage: true }));

const dark = await browser.open(server.url, {
  viewport: { width: 360, height: 760 },
  deviceScaleFactor: 1.5,
  colorScheme: "dark",
});
await choose(dark, "chelsea.jpg");
await save(dark, "dark", await dark.screenshot());
