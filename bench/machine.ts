import { cpus, totalmem } from "node:os";
import denoJson from "../deno.json" with { type: "json" };

/** The machine and date of a bench. */
export interface Machine {
  readonly date: string;
  readonly cutcache: string;
  readonly deno: string;
  readonly os: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
}

export function machine(): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    cutcache: denoJson.version,
    deno: Deno.version.deno,
    os: `${Deno.build.os} ${Deno.osRelease()}, ${Deno.build.arch}`,
    processor: cpus()[0].model.trim(),
    cores: navigator.hardwareConcurrency,
    memoryGb: Math.round(totalmem() / 2 ** 30),
  };
}
