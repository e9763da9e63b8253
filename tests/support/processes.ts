/** A process, from `/proc`. */
export interface Process {
  readonly pid: number;
  /** The program and its arguments. */
  readonly command: readonly string[];
}

/** The children of a process, their children, and so on. */
export function descendants(ancestor: number): Process[] {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => pid > 0);
  const parents = new Map(pids.map((pid) => [pid, parentOf(pid)]));
  const below = (pid: number): number[] => pids.filter((p) => parents.get(p) === pid).flatMap((p) => [p, ...below(p)]);
  return below(ancestor).map((pid) => ({ pid, command: commandOf(pid) }));
}

/** The parent of a process: the fourth field of proc_pid_stat(5). Undefined if the process has ended. */
export function parentOf(pid: number): number | undefined {
  const stat = readProc(pid, "stat");
  // The second field, a name in parentheses, may contain anything.
  return stat === "" ? undefined : Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

function commandOf(pid: number): string[] {
  return readProc(pid, "cmdline").split("\0");
}

/** Empty if the process has ended. */
function readProc(pid: number, file: "cmdline" | "stat"): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${file}`);
  } catch {
    return "";
  }
}
