import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Results of axe-core's rules that found something, of which only what a failed test prints is named. */
type Violations = { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];

/** How long anything may take in a browser, on a machine that has much else to do, in milliseconds. */
const DEADLINE = 120_000;

/** Debian's Chromium without a window, and what its pages complained of and asked elsewhere. */
export class TestBrowser {
  /** What was written on consoles as an error, and errors that nobody caught. */
  readonly errors: string[] = [];
  /** Addresses of other hosts than the page's. */
  readonly elsewhere: string[] = [];
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** With a camera that shows a test picture, and a name for 127.0.0.1 that is no secure context: `http://plain.test`. */
  static async start(): Promise<TestBrowser> {
    return new TestBrowser(
      await chromium.launch({
        executablePath: await which("chromium"),
        timeout: DEADLINE,
        args: [
          "--use-fake-device-for-media-stream",
          "--use-fake-ui-for-media-stream",
          "--host-resolver-rules=MAP plain.test 127.0.0.1",
        ],
      }),
    );
  }

  /** A page of its own session. */
  async open(url: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE);
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(`${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("request", (request) => {
      const address = new URL(request.url());
      if (address.protocol !== "blob:" && address.origin !== new URL(url).origin) this.elsewhere.push(address.href);
    });
    await page.goto(url);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** What axe-core finds wrong with a page as it is now, in words; empty where that is nothing. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // In the world of the test, which the page's Content-Security-Policy does not bind.
  await page.evaluate(axe.source);
  const violations = await page.evaluate("axe.run(document).then(({ violations }) => violations)") as Violations;
  return violations.map(({ id, help, nodes }) =>
    `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`).join("\n")}`
  );
}

async function which(command: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", 'command -v "$1"', "sh", command] }).output();
  return new TextDecoder().decode(stdout).trim();
}
