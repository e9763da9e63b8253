/** The kernel's files for the second version of control groups, and for the first (cgroups(7)). */
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

/** A control group: the kernel kills its processes if together they need more memory than the limit. */
export class MemoryCgroup implements AsyncDisposable {
  readonly #path: string;
  readonly #version: typeof VERSIONS[number];

  private constructor(path: string, version: typeof VERSIONS[number]) {
    this.#path = path;
    this.#version = version;
  }

  /** Undefined if this process may not create one, or the kernel has none. */
  static async create(bytes: number): Promise<MemoryCgroup | undefined> {
    for (const version of VERSIONS) {
      const path = `${version.folder}/cutcache-test-${crypto.randomUUID()}`;
      const { limit, withSwap } = version;
      try {
        await Deno.mkdir(path);
      } catch {
        continue;
      }
      // Never created: the folder may be on an ordinary file system.
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

  /** A command that runs `command` within the group, in the same process. */
  around(command: readonly string[]): string[] {
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.#path, ...command];
  }

  /** The number of processes that were killed for lack of memory. */
  async kills(): Promise<number> {
    const events = await Deno.readTextFile(`${this.#path}/${this.#version.events}`);
    return Number(/^oom_kill (\d+)$/m.exec(events)![1]);
  }

  /** The peak memory of the group, cached files included, in bytes; undefined if the kernel does not report it. */
  async peak(): Promise<number | undefined> {
    const text = await Deno.readTextFile(`${this.#path}/${this.#version.peak}`).catch(() => undefined);
    return text === undefined ? undefined : Number(text);
  }

  /** Removes the group. Call it when all its processes have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    // The kernel takes a moment to remove an ended process from the group.
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
