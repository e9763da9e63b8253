/**
 * `deno run -A tools/compiled_kernels.ts`: compiles `kernels/compiled/` to the two modules of the compiled backend, with
 * relaxed SIMD (fused multiply-add) and without. The same source gives the same bytes on every machine.
 */
import asc from "assemblyscript/asc";
import { gemmSource } from "./compiled_kernels/gemm.ts";

const ROOT = new URL("../", import.meta.url);
const GEMM = new URL("kernels/compiled/gemm.ts", ROOT);

/** The modules, by the name of their file in `src/inference/compiled/`. */
export const MODULES = { "kernels_relaxed.wasm": ["--enable", "relaxed-simd"], "kernels.wasm": [] };

export type ModuleName = keyof typeof MODULES;

/** What the memory may grow to, in pages of 64 KiB: all that an address of 32 bits reaches. */
const MAXIMUM_PAGES = "65536";

/** @throws {Error} with what the compiler says. */
export async function compileNetworkKernels(name: ModuleName): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const messages: string[] = [];
  const options = ["-O3", "--runtime", "stub", "--noAssert", "--enable", "simd", ...MODULES[name]];
  const memory = ["--enable", "threads", "--importMemory", "--sharedMemory", "--maximumMemory", MAXIMUM_PAGES];
  const { error } = await asc.main(["kernels/compiled/index.ts", "--outFile", name, ...options, ...memory], {
    stderr: { write: (text: string | Uint8Array) => void messages.push(`${text}`) },
    readFile: (file: string) => Deno.readTextFile(new URL(file, ROOT)).catch(() => null),
    listFiles: () => [],
    writeFile: (_: string, contents: string | Uint8Array) => void (binary = contents as Uint8Array),
  });
  if (error !== null || binary === undefined) throw new Error(messages.join("") || `${error}`);
  return binary;
}

if (import.meta.main) {
  await Deno.writeTextFile(GEMM, gemmSource());
  for (const name of Object.keys(MODULES) as ModuleName[]) {
    await Deno.writeFile(new URL(`src/inference/compiled/${name}`, ROOT), await compileNetworkKernels(name));
  }
}
