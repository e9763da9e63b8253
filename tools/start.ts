/**
 * Starts the server: `deno task start`, or `deno task start:native` with `--native`.
 *
 * This is a program and not a shell command for two reasons. V8's flags and malloc's settings must be set before the
 * process starts, and `src/memory_tuning.ts` is the one place that lists them. And the server may only read and write the
 * folder and the files that CACHE_DIR, MODEL_PATH and MODEL_MANIFEST name, which may have spaces in their paths. Its
 * permissions are fixed before it reads its settings, so this program has to read these itself, and those that name the
 * addresses of its network.
 */
import denoJson from "../deno.json" with { type: "json" };
import { nearest } from "../src/base/nearest.ts";
import { MALLOC_OPTIONS, V8_FLAGS } from "../src/memory_tuning.ts";
import { USAGE } from "../src/usage.ts";

/** As in `src/config.ts`, which is too slow to load here; a test compares the two. */
const DEFAULT_CACHE_DIR = ".cutcache";

/** Signals that end a process unless it handles them. All go to the server, which decides. */
const FORWARDED_SIGNALS = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;

/** As in `src/config.ts`; a test compares them. */
const DEFAULT_DRAIN_SECONDS = 30;

/** As in `src/config.ts`; a test compares them. */
const DEFAULT_NETWORK = { HOST: "0.0.0.0", PORT: "8000", CDN_PURGE_URL: "http://cache.localhost/invalidate/http" };

/** Of OpenTelemetry. */
const DEFAULT_COLLECTOR = "http://localhost:4318";

/** How much longer than its own deadline a server may take to end, in milliseconds, before it is killed. */
const KILL_AFTER_MS = 2000;

export interface StartOptions {
  /** With ONNX Runtime's native build, an add-on. */
  native: boolean;
  /** Reads an environment variable. An empty one counts as not set. */
  environment: (name: string) => string | undefined;
}

/**
 * The arguments for `deno`, and the variables to add to its environment.
 * @throws {Error} if a path cannot be given as a permission.
 */
export function startCommand({ native, environment }: StartOptions): { args: string[]; env: Record<string, string> } {
  const path = (name: string) => environment(name) || undefined;
  const cacheDir = { CACHE_DIR: path("CACHE_DIR") ?? DEFAULT_CACHE_DIR };
  const modelPath = path("MODEL_PATH");
  // The model's plan lies beside it, if there is one.
  const plan = modelPath && `${modelPath.replace(/\.onnx$/, "")}.plan.json`;
  const modelFiles = { MODEL_PATH: modelPath, MODEL_MANIFEST: path("MODEL_MANIFEST"), plan };
  const permissions = native
    // Loading the add-on takes all of these. The workers that decode images have no permissions here either.
    ? ["--allow-read", "--allow-env", "--allow-sys", "--allow-ffi"]
    : [`--allow-read=src,static,${pathList({ ...cacheDir, ...modelFiles })}`];
  return {
    args: [
      "run",
      "--frozen",
      ...(native ? ["--lock=deno.native.lock"] : []),
      `--v8-flags=${V8_FLAGS.join(",")}`,
      "-P=start",
      ...permissions,
      networkPermission(environment),
      `--allow-write=${pathList(cacheDir)}`,
      "src/main.ts",
    ],
    env: {
      // Deno's own metrics wait for every worker. ONNX Runtime's threads never answer: nothing would be exported, and the
      // process would never end (seen in Deno 2.9.6). See src/telemetry/otlp_metrics.ts for those that are exported.
      OTEL_DENO_METRICS: environment("OTEL_DENO_METRICS") ?? "false",
      ...Object.fromEntries(MALLOC_OPTIONS.map(({ name, value }) => [name, `${value}`])),
      ...(native && { INFERENCE_BACKEND: "native" }),
    },
  };
}

/**
 * The paths that are set, as the value of a permission flag. Deno splits it at commas, and 2.9.6 has no way to write a
 * comma within a path: it refuses a doubled one. A path with a comma would permit two other paths.
 */
function pathList(settings: Record<string, string | undefined>): string {
  for (const [name, path] of Object.entries(settings)) {
    if (path?.includes(",")) throw new Error(`${name}=${JSON.stringify(path)}: Deno cannot permit a path with a comma`);
  }
  return Object.values(settings).filter((path) => path !== undefined).join(",");
}

/**
 * The addresses that the server may use: its own port, Redis, the CDN's and the collector's. If it fetches images by URL it needs the whole
 * network, and checks each address itself.
 */
function networkPermission(environment: StartOptions["environment"]): string {
  if (!/^(?:false|0|no|off|n|disabled)?$/i.test(environment("ALLOW_IMAGE_URLS") ?? "")) return "--allow-net";
  const value = (name: keyof typeof DEFAULT_NETWORK) => environment(name) || DEFAULT_NETWORK[name];
  const host = value("HOST").includes(":") ? `[${value("HOST")}]` : value("HOST");
  // The server reports invalid settings, which are no permissions.
  const own = /^[\w.:[\]-]+:\d{1,5}$/.test(`${host}:${value("PORT")}`) ? [`${host}:${value("PORT")}`] : [];
  const collector = environment("OTEL_DENO") &&
    (environment("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") || environment("OTEL_EXPORTER_OTLP_ENDPOINT") ||
      DEFAULT_COLLECTOR);
  const redis = environment("UPSTASH_REDIS_REST_URL");
  const others = [redis ?? "", value("CDN_PURGE_URL"), collector ?? ""].flatMap((text) => {
    const url = URL.parse(text);
    return url ? [`${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`] : [];
  });
  return `--allow-net=${[...own, ...others].join(",")}`;
}

/**
 * How long a server may take to end after its signal, in milliseconds. Deno flushes its telemetry at the end, which takes
 * as long as the collector wants.
 */
export function stopDeadlineMs(environment: StartOptions["environment"]): number {
  const seconds = (name: string, fallback: number) => Number(environment(name) || fallback);
  const drainSeconds = seconds("DRAIN_DELAY_SECONDS", 0) + seconds("DRAIN_SECONDS", DEFAULT_DRAIN_SECONDS);
  return 1000 * drainSeconds + KILL_AFTER_MS;
}

/**
 * Warnings about variables that look like misspelt settings. The server itself cannot see them: it may read only its
 * settings.
 */
export function misspeltSettings(variables: readonly string[]): string[] {
  const settings: readonly string[] = denoJson.permissions.start.env;
  // A name without an underscore is too short to tell a slip from another program's variable.
  const known = settings.filter((name) => name.includes("_"));
  return variables.filter((name) => name.includes("_") && !settings.includes(name)).flatMap((name) => {
    const setting = nearest(name, known);
    return setting === undefined ? [] : `${name} is not a setting: did you mean ${setting}?`;
  });
}

/** Runs the server, and resolves to its exit code when it ends. */
async function start(): Promise<number> {
  const unknown = Deno.args.find((argument) => argument !== "--native");
  if (unknown !== undefined) {
    const isHelp = ["--help", "-h"].includes(unknown);
    if (isHelp) console.log(USAGE);
    else console.error(`unknown argument ${unknown}; settings are environment variables\n\n${USAGE}`);
    return isHelp ? 0 : 2;
  }
  for (const warning of misspeltSettings(Object.keys(Deno.env.toObject()))) console.error(`Warning: ${warning}`);
  const native = Deno.args.includes("--native");
  const environment = (name: string) => Deno.env.get(name);
  const { args, env } = startCommand({ native, environment });
  const server = new Deno.Command(Deno.execPath(), { args, env }).spawn();
  for (const signal of FORWARDED_SIGNALS) {
    Deno.addSignalListener(signal, () => {
      try {
        server.kill(signal);
      } catch { /* it has ended */ }
      if (signal !== "SIGTERM" && signal !== "SIGINT") return;
      const kill = () => {
        server.kill("SIGKILL");
        // This process exports telemetry too, and could wait as long.
        Deno.kill(Deno.pid, "SIGKILL");
      };
      Deno.unrefTimer(setTimeout(kill, stopDeadlineMs(environment)));
    });
  }
  return (await server.status).code;
}

if (import.meta.main) {
  try {
    Deno.exit(await start());
  } catch (error) {
    console.error(`Cutcache cannot start: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
