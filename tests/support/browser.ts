import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Violations as axe-core reports them, limited to the properties that a failed test prints. */
type Violations = { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];

/** A generous limit for each action, because the machine may be busy with other work. */
const TIMEOUT_MS = 120_000;

/** Debian's Chromium without a window. Collects the errors of its pages and their requests to other hosts. */
export class TestBrowser {
  /** Console messages of level error, and uncaught errors. */
  readonly errors: string[] = [];
  /** Addresses on other hosts that a page requested. */
  readonly foreignRequests: string[] = [];
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Has a camera with a test image. `http://plain.test` is 127.0.0.1 under a name that is no secure context. */
  static async start(): Promise<TestBrowser> {
    return new TestBrowser(
      await chromium.launch({
        executablePath: await which("chromium"),
        timeout: TIMEOUT_MS,
        args: [
          "--use-fake-device-for-media-stream",
          "--use-fake-ui-for-media-stream",
          "--host-resolver-rules=MAP plain.test 127.0.0.1",
        ],
      }),
    );
  }

  /** Opens a page with its own storage. */
  async open(url: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(`${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("request", (request) => {
      const address = new URL(request.url());
      if (address.protocol !== "blob:" && address.origin !== new URL(url).origin) {
        this.foreignRequests.push(address.href);
      }
    });
    await page.goto(url);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** Describes what axe-core finds wrong with the current state of a page. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // The page's Content-Security-Policy does not apply to scripts that the test evaluates.
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
