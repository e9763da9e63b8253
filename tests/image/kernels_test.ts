import assert from "node:assert/strict";
import { borrowKernels } from "../../src/image/kernels.ts";
import { compileKernels } from "../../tools/kernels.ts";

Deno.test("kernels › the binary is what its source compiles to", async () => {
  const shipped = await Deno.readFile(new URL("../../src/image/kernels.wasm", import.meta.url));
  assert.deepEqual(await compileKernels(), shipped);
});

/** The kernels that a borrower gets who gives them back at once. */
function borrowOnce() {
  using memory = borrowKernels();
  return memory.run;
}

Deno.test("kernels › are lent again after they were given back, and reserved memory is zeroed again", () => {
  const first = borrowOnce();
  using memory = borrowKernels();
  assert.equal(memory.run, first);
  const dirty = memory.reserve(100);
  memory.bytes.fill(1, dirty);
  memory[Symbol.dispose]();
  using next = borrowKernels();
  assert.equal(next.run, first);
  const address = next.reserve(100);
  assert.deepEqual(next.bytes.slice(address, address + 100), new Uint8Array(100));
});

Deno.test("kernels › two borrowers at a time do not share a memory", () => {
  using one = borrowKernels();
  using other = borrowKernels();
  const filled = one.reserve(16);
  one.bytes.fill(7, filled);
  const address = other.reserve(16);
  assert.notEqual(one.run.memory, other.run.memory);
  assert.deepEqual(other.bytes.slice(address, address + 16), new Uint8Array(16));
});

Deno.test("kernels › cannot be used after they were given back, even if that happens twice", () => {
  const memory = borrowKernels();
  memory[Symbol.dispose]();
  memory[Symbol.dispose]();
  assert.throws(() => memory.reserve(16), /given back/);
  assert.throws(() => memory.run, /given back/);
  using one = borrowKernels();
  using other = borrowKernels();
  assert.notEqual(one.run, other.run);
});

Deno.test("kernels › a memory that a large image has grown is not kept", () => {
  const usual = borrowOnce();
  {
    using memory = borrowKernels();
    assert.equal(memory.run, usual);
    memory.reserve(8_000_000);
  }
  assert.notEqual(borrowOnce(), usual);
});
