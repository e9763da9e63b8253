/**
 * `deno run -A tools/kernels.ts` compiles `kernels/` to `src/image/kernels.wasm`. The same source gives the same bytes
 * on every machine.
 */
import asc from "assemblyscript/asc";

const ROOT = new URL("../", import.meta.url);

/** @throws {Error} with the compiler's messages. */
export async function compileKernels(): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const messages: string[] = [];
  const options = ["-O3", "--runtime", "stub", "--noAssert", "--enable", "simd"];
  const { error } = await asc.main(["kernels/index.ts", "--outFile", "kernels.wasm", ...options], {
    stderr: { write: (text: string | Uint8Array) => void messages.push(`${text}`) },
    readFile: (name: string) => Deno.readTextFile(new URL(name, ROOT)).catch(() => null),
    listFiles: () => [],
    writeFile: (_: string, contents: string | Uint8Array) => void (binary = contents as Uint8Array),
  });
  if (error !== null || binary === undefined) throw new Error(messages.join("") || `${error}`);
  return binary;
}

if (import.meta.main) await Deno.writeFile(new URL("src/image/kernels.wasm", ROOT), await compileKernels());
