import binary from "./kernels.wasm" with { type: "bytes" };

/**
 * What is done for every pixel, in WebAssembly: with vectors of 16 bytes it takes a fifth of the time that JavaScript does,
 * and the first picture does not have to wait for V8 to optimise it. Its source is in `kernels/`, in AssemblyScript;
 * `deno run -A tools/kernels.ts` compiles it. Addresses are bytes in `memory`.
 */
export interface Kernels {
  readonly memory: WebAssembly.Memory;
  readonly heapBase: WebAssembly.Global;
  resampleAcross(from: number, to: number, outputWidth: number, table: number, stride: number): void;
  interleaveRows(from: number, to: number, width: number): void;
  resampleFourAcross(
    from: number,
    to: number,
    outputWidth: number,
    table: number,
    stride: number,
    rowLength: number,
  ): void;
  resampleDown(from: number, to: number, length: number, weights: number, count: number): void;
  reduceRow(from: number, to: number, width: number, rows: number, factor: number): void;
  cutOutRow(pixels: number, alphas: number, width: number): void;
  clearHiddenRow(row: number, stride: number, to: number, width: number): void;
  putOnGray(pixels: number, count: number, gray: number): void;
  firstVisible(row: number, width: number, least: number): number;
  lastVisible(row: number, width: number, least: number): number;
  largestColour(from: number, length: number): number;
  planesOfRow(from: number, to: number, width: number, tables: number): void;
  least(from: number, count: number): number;
  greatest(from: number, count: number): number;
  stretch(from: number, to: number, count: number, low: number, range: number): void;
  convertColours(pixels: number, count: number, lights: number, encoded: number, most: number): void;
  filterRow(row: number, above: number, to: number, length: number, bytesPerPixel: number): void;
}

const PAGE = 65_536;

/** A larger memory is not kept from one use to the next, in bytes; a picture of 12 megapixels takes no more. */
const KEPT = 4_194_304;

let module: WebAssembly.Module | undefined;
let kept: Kernels | undefined;

/** So many bytes, filled up to the vectors that the kernels take at once. */
export function wholeVectors(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

/** Kernels and their memory, for one piece of work that does not wait for anything: the next has the same memory. */
export class KernelMemory {
  readonly run: Kernels;
  #end: number;

  constructor() {
    module ??= new WebAssembly.Module(binary);
    if (kept === undefined || kept.memory.buffer.byteLength > KEPT) {
      kept = new WebAssembly.Instance(module).exports as unknown as Kernels;
    }
    this.run = kept;
    this.#end = this.run.heapBase.value;
  }

  /** The address of so many zeros, a multiple of 16. Views of the memory that exist by now may be detached. */
  reserve(size: number): number {
    const address = this.#end;
    this.#end += wholeVectors(size);
    const { memory } = this.run;
    const missing = this.#end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    this.bytes.fill(0, address, this.#end);
    return address;
  }

  /** Reserves memory for a table and puts it there. */
  place(table: Int32Array | Float32Array): number {
    const address = this.reserve(table.byteLength);
    this.bytes.set(new Uint8Array(table.buffer, table.byteOffset, table.byteLength), address);
    return address;
  }

  /** All of the memory. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.run.memory.buffer as ArrayBuffer);
  }
}
