import { descendants } from "../../tests/support/processes.ts";
import { TestServer } from "../../tests/support/server.ts";
import { markdownSize, megabytes, percentile, processMemory } from "../measure.ts";
import { pictures } from "../pictures.ts";

const SIZES = [{ width: 1024, height: 683 }, { width: 4000, height: 3000 }];
const MATTINGS = ["none", "refine", "hair"];
const REQUESTS = 7;

/** Linux counts processor time in hundredths of a second (`getconf CLK_TCK`). */
const TICK_MS = 10;

/**
 * What matting costs on top of a render from a cached mask: a server for each way and size, medians of its stage `render`,
 * the mean of the process's CPU time, and its peak memory.
 */
export async function measureCosts(): Promise<object[]> {
  const rows = [];
  const files = await pictures(SIZES);
  for (const [i, size] of SIZES.entries()) {
    for (const matting of MATTINGS) {
      await using server = await TestServer.start({}, { checked: false });
      await server.ready();
      const pid = descendants(Deno.pid).find(({ command }) => command.includes("src/main.ts"))!.pid;
      const render = async (opacity: number) => {
        const query = `format=jpeg&matting=${matting}&background=rgb(0 0 0 / ${opacity}%25)`;
        const response = await server.fetch(`/cutouts?${query}`, { method: "POST", body: files[i] });
        await response.bytes();
        return Number(/\brender;dur=([\d.]+)/.exec(response.headers.get("Server-Timing")!)![1]);
      };
      await render(100);
      const before = cpuMs(pid);
      const times = [];
      for (let k = 0; k < REQUESTS; k++) times.push(await render(k));
      rows.push({
        image: markdownSize(size),
        matting,
        "render (ms)": Math.round(percentile(times, 0.5)),
        "CPU per request (ms)": Math.round((cpuMs(pid) - before) / REQUESTS),
        "peak RSS (MB)": megabytes(processMemory(pid).peak),
      });
    }
  }
  return rows;
}

/** The CPU time of a process so far: `utime` and `stime` of proc_pid_stat(5). */
function cpuMs(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
