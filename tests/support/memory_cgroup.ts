/** Where the kernel has what is needed here: its second version of control groups, and its first (cgroups(7)). */
const VERSIONS = [
  {
    folder: "/sys/fs/cgroup",
    limit: "memory.max",
    withSwap: { name: "memory.swap.max", value: () => 0 },
    events: "memory.events",
    peak: "memory.peak",
  },
  {
    folder: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    // Memory and swap together.
    withSwap: { name: "memory.memsw.limit_in_bytes", value: (bytes: number) => bytes },
    events: "memory.oom_control",
    peak: "memory.max_usage_in_bytes",
  },
] as const;

/** A control group whose processes are killed by the kernel where together they need more memory than its limit. */
export class MemoryCgroup implements AsyncDisposable {
  readonly #path: string;
  readonly #version: typeof VERSIONS[number];

  private constructor(path: string, version: typeof VERSIONS[number]) {
    this.#path = path;
    this.#version = version;
  }

  /** Undefined where this process may not make one, or the kernel has none. */
  static async create(bytes: number): Promise<MemoryCgroup | undefined> {
    for (const version of VERSIONS) {
      const path = `${version.folder}/cutcache-test-${crypto.randomUUID()}`;
      const { limit, withSwap } = version;
      try {
        await Deno.mkdir(path);
      } catch {
        continue;
      }
      // Never made here: the folder may be one of a plain file system.
      const set = (name: string, value: number) => Deno.writeTextFile(`${path}/${name}`, `${value}`, { create: false });
      try {
        await set(limit, bytes);
        // A kernel that does not count swap has no such file.
        await set(withSwap.name, withSwap.value(bytes)).catch(() => {});
        return new MemoryCgroup(path, version);
      } catch {
        await Deno.remove(path);
      }
    }
    return undefined;
  }

  /** The command that starts this one within the group, as the same process. */
  around(command: readonly string[]): string[] {
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.#path, ...command];
  }

  /** How many processes have been killed for want of memory. */
  async kills(): Promise<number> {
    const events = await Deno.readTextFile(`${this.#path}/${this.#version.events}`);
    return Number(/^oom_kill (\d+)$/m.exec(events)![1]);
  }

  /** The most that was in use, cached files included, in bytes; undefined where the kernel does not say. */
  async peak(): Promise<number | undefined> {
    const text = await Deno.readTextFile(`${this.#path}/${this.#version.peak}`).catch(() => undefined);
    return text === undefined ? undefined : Number(text);
  }

  /** To be called when all its processes have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    // The kernel takes a moment to let go of a process.
    for (let tries = 1000;; tries--) {
      try {
        return await Deno.remove(this.#path);
      } catch (error) {
        if (tries === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}
