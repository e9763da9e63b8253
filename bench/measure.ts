import { descendants, parentOf } from "../tests/support/processes.ts";

/** The percentile of the values at `share` (0 to 1), by nearest rank; NaN if there are no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

export function threeDigits(value: number): number {
  return Number(value.toPrecision(3));
}

/** Bytes as whole megabytes (of 1,000,000 bytes). */
export function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

/** Width, height and megapixels of an image. */
export function markdownSize({ width, height }: { width: number; height: number }): string {
  return `${width}×${height} (${(width * height / 1e6).toFixed(1)} MP)`;
}

/** Rows with the same columns as a Markdown table; numbers are aligned right. */
export function markdownTable<Row extends object>(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0]) as (keyof Row & string)[];
  const rule = columns.map((column) => typeof rows[0][column] === "number" ? "---:" : "---");
  const lines = [columns, rule, ...rows.map((row) => columns.map((column) => row[column]))];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Resident memory of a process at one moment. */
export interface MemorySample {
  /** In the time of `performance.now()`. */
  readonly at: number;
  /** Resident set, in bytes. */
  readonly rss: number;
}

const SAMPLE_EVERY_MS = 50;

/**
 * The resident memory of a server that this process has started, from `/proc`, for as long as it is in scope. It is that
 * of the process that runs `src/main.ts`, without `deno task` and `tools/start.ts` around it, which only wait.
 */
export class ServerMemory implements Disposable {
  readonly samples: MemorySample[] = [];
  /** The resident memory of `deno task` and `tools/start.ts` around the server, in bytes. */
  readonly launcherRss: number;
  readonly #pid: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #peak = 0;

  /**
   * @param root the process that started the server, or one above it.
   * @throws {Error} if there is no `/proc`, or not exactly one such server.
   */
  constructor(root = Deno.pid) {
    const servers = descendants(root).filter(({ command }) => command.includes("src/main.ts"));
    if (servers.length !== 1) throw new Error(`${servers.length} servers run below process ${root}, expected one`);
    this.#pid = servers[0].pid;
    this.launcherRss = sumOf(ancestors(this.#pid, Deno.pid).map((pid) => processMemory(pid).rss));
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_EVERY_MS);
  }

  /** The maximum since the server's start, as counted by the kernel, in bytes. */
  get peak(): number {
    return this.#peak;
  }

  /** The median between two times (of `performance.now()`), by default until now, in bytes. */
  median(from: number, to = performance.now()): number {
    return percentile(this.samples.filter(({ at }) => at >= from && at <= to).map(({ rss }) => rss), 0.5);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    try {
      const { rss, peak } = processMemory(this.#pid);
      this.samples.push({ at: performance.now(), rss });
      this.#peak = peak;
    } catch (error) {
      // The server has exited. The requests to it will fail.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** The current and maximum resident memory of a process: `VmRSS` and `VmHWM` of proc_pid_status(5), in bytes. */
export function processMemory(pid: number): { rss: number; peak: number } {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { rss: field("VmRSS"), peak: field("VmHWM") };
}

/** The processes between a process and one that it descends from. */
function ancestors(pid: number, upTo: number): number[] {
  const parent = parentOf(pid);
  return parent === undefined || parent === upTo ? [] : [parent, ...ancestors(parent, upTo)];
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
