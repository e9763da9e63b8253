/** Tries from within a worker what a decoder that an attacker controls would try. */
import process from "node:process";
import { serveOperations } from "../../src/inference/workers/rpc.ts";

async function attempt(work: () => unknown): Promise<{ value: string }> {
  try {
    return { value: `allowed: ${await work()}` };
  } catch (error) {
    return { value: `${(error as Error).name}: ${(error as Error).message}` };
  }
}

export const probes = {
  readFile: (path: string) => attempt(() => Deno.readTextFile(path)),
  writeFile: (path: string) => attempt(() => Deno.writeTextFile(path, "x")),
  openSocket: (port: number) => attempt(() => Deno.connect({ hostname: "127.0.0.1", port })),
  fetch: (url: string) => attempt(() => fetch(url)),
  readVariable: (name: string) => attempt(() => Deno.env.get(name)),
  readProcessVariable: (name: string) => attempt(() => process.env[name]),
  run: (command: string) => attempt(() => new Deno.Command(command).output()),
  askForMore: () =>
    attempt(async () => {
      const { state } = await Deno.permissions.request({ name: "read" });
      if (state !== "granted") throw new Error(state);
    }),
};

serveOperations(() => Promise.resolve(probes));
