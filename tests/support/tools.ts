/** A program of the operating system that the tests need. */
export interface Tool {
  /** The command, which is looked up on PATH. */
  command: string;
  /** The Debian package that contains it. */
  debianPackage: string;
  /** Completes the sentence "It is needed for …". */
  purpose: string;
}

/** Every program the tests need beyond Deno itself. */
export const TEST_TOOLS: Tool[] = [
  { command: "redis-server", debianPackage: "redis-server", purpose: "the tests of the shared cache" },
  { command: "chromium", debianPackage: "chromium", purpose: "the tests of the page" },
  { command: "npx", debianPackage: "npm", purpose: "the tests on an older Deno and of generated clients" },
  { command: "pip3", debianPackage: "python3-pip", purpose: "the test of a generated Python client" },
];

/**
 * Ensures that every program in {@link TEST_TOOLS} is installed.
 *
 * @throws {Error} if one is missing and cannot be installed: no test is skipped because a tool is missing.
 */
export async function ensureTestTools(): Promise<void> {
  for (const tool of TEST_TOOLS) await ensureTool(tool);
}

/**
 * Ensures that a program is on PATH, and installs its Debian package if permitted.
 *
 * @param mayInstall by default, true if this process runs as root on a machine with `apt-get`.
 * @throws {Error} with the missing program, its purpose, and how to install it.
 */
export async function ensureTool(tool: Tool, mayInstall?: boolean): Promise<void> {
  const { command, debianPackage, purpose } = tool;
  if (await isOnPath(command)) return;
  const missing = `${command} is missing; it is needed for ${purpose}`;
  if (!(mayInstall ?? await isRootWithAptGet())) {
    throw new Error(`${missing}. Install it with: sudo apt-get install ${debianPackage}`);
  }
  console.log(`Installing ${debianPackage} with apt-get: ${missing}.`);
  await (packageLists ??= aptGet("update"));
  await aptGet("install", "-y", "--no-install-recommends", debianPackage);
  if (!await isOnPath(command)) throw new Error(`${missing}, and the package ${debianPackage} does not contain it.`);
}

/** The result of `apt-get update`, which this process runs at most once. */
let packageLists: Promise<void> | undefined;

async function aptGet(...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command("apt-get", {
    args,
    // In runlevel 1 Debian's packages start no services: no test wants a daemon on its default port.
    env: { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
    stdin: "null",
  }).output();
  if (success) return;
  const text = new TextDecoder();
  throw new Error(`apt-get ${args.join(" ")} failed:\n${text.decode(stdout)}${text.decode(stderr)}`);
}

async function isRootWithAptGet(): Promise<boolean> {
  return Deno.uid() === 0 && await isOnPath("apt-get");
}

async function isOnPath(command: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", 'command -v "$1"', "sh", command],
    stdin: "null",
    stdout: "null",
  }).output();
  return success;
}
