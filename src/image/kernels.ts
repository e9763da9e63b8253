import binary from "./kernels.wasm" with { type: "bytes" };

/**
 * The loops over pixels, in WebAssembly: vectors of 16 bytes take a fifth of the time of JavaScript, and the first image
 * does not wait for V8 to optimise the code. `kernels/` holds the source (AssemblyScript) and documents each function;
 * `deno run -A tools/kernels.ts` compiles it. Addresses are byte offsets in `memory`.
 */
interface Kernels {
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
  firstVisible(row: number, width: number, minAlpha: number): number;
  lastVisible(row: number, width: number, minAlpha: number): number;
  maxColour(from: number, length: number): number;
  planesOfRow(from: number, to: number, width: number, tables: number): void;
  minOf(from: number, count: number): number;
  maxOf(from: number, count: number): number;
  stretch(from: number, to: number, count: number, low: number, range: number): void;
  convertColours(pixels: number, count: number, lights: number, encoded: number, maxStep: number): void;
  interpolateColours(pixels: number, count: number, nodes: number, side: number, cells: number): void;
  interpolateInks(pixels: number, count: number, nodes: number, side: number, cells: number): void;
  addToCells(pixels: number, alphas: number, width: number, columns: number, sums: number): void;
  sumWindows(
    from: number,
    to: number,
    width: number,
    height: number,
    across: number,
    down: number,
    scratch: number,
  ): void;
  addWindows(
    colours: number,
    plane: number,
    stride: number,
    width: number,
    unknown: number,
    coefficients: number,
    epsilon: number,
  ): void;
  solveUnknown(
    coefficients: number,
    weights: number,
    targets: number,
    unknown: number,
    x: number,
    scratch: number,
    plane: number,
    stride: number,
    height: number,
    spans: number,
    iterations: number,
    tolerance: number,
  ): number;
  fitModels(
    colours: number,
    alpha: number,
    to: number,
    plane: number,
    stride: number,
    width: number,
    rows: number,
    epsilon: number,
  ): void;
  averageModels(models: number, to: number, plane: number, stride: number, width: number, rows: number): void;
  mixRows(a: number, b: number, to: number, count: number, t: number): void;
  applyModels(
    pixels: number,
    alphas: number,
    width: number,
    models: number,
    near: number,
    columns: number,
    low: number,
  ): void;
  enlarge(from: number, width: number, height: number, to: number, toWidth: number, toHeight: number): void;
  separateColours(image: number, foreground: number, background: number, width: number, height: number): void;
  recolour(
    pixels: number,
    alphas: number,
    width: number,
    foreground: number,
    background: number,
    columns: number,
    smoothness: number,
  ): void;
  filterRow(row: number, above: number, to: number, length: number, bytesPerPixel: number): void;
}

const PAGE_BYTES = 65_536;

/** A larger memory is dropped after use, in bytes. An image of 12 megapixels needs no more. */
const MAX_IDLE_BYTES = 4_194_304;

let module: WebAssembly.Module | undefined;

/** An instance that nobody uses now, kept because a new one costs time and grows its memory again. */
let idle: Kernels | undefined;

/** A size in bytes, rounded up to the vectors of 16 bytes that the kernels process. */
export function wholeVectors(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

/**
 * Borrows the kernels and their memory until the end of the block: `using memory = borrowKernels()`. Borrowers never
 * share a memory: while the usual one is in use, another borrower gets a new one.
 */
export function borrowKernels(): KernelMemory {
  const kernels = idle ?? newKernels();
  idle = undefined;
  return new KernelMemory(kernels);
}

function newKernels(): Kernels {
  module ??= new WebAssembly.Module(binary);
  return new WebAssembly.Instance(module).exports as unknown as Kernels;
}

/** Kernels and the memory that they work on; {@link borrowKernels} lends them. */
class KernelMemory implements Disposable {
  #end: number;
  #kernels: Kernels | undefined;

  constructor(kernels: Kernels) {
    this.#kernels = kernels;
    this.#end = kernels.heapBase.value;
  }

  /** @throws {Error} after the end of the loan. */
  get run(): Kernels {
    if (this.#kernels === undefined) throw new Error("these kernels have been given back");
    return this.#kernels;
  }

  /** All of the memory. {@link reserve} may grow the memory, which detaches earlier views. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.run.memory.buffer as ArrayBuffer);
  }

  /**
   * Reserves `size` zeros.
   * @returns their address, a multiple of 16.
   */
  reserve(size: number): number {
    const { memory } = this.run;
    const address = this.#end;
    this.#end += wholeVectors(size);
    const missing = this.#end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
    this.bytes.fill(0, address, this.#end);
    return address;
  }

  /**
   * Reserves memory for a table and copies it there.
   * @returns the table's address.
   */
  place(table: Uint8Array | Int32Array | Uint32Array | Float32Array): number {
    const address = this.reserve(table.byteLength);
    this.bytes.set(new Uint8Array(table.buffer, table.byteOffset, table.byteLength), address);
    return address;
  }

  /** Gives the kernels back. Views of their memory must not be used after that. */
  [Symbol.dispose](): void {
    const kernels = this.#kernels;
    this.#kernels = undefined;
    if (kernels !== undefined && kernels.memory.buffer.byteLength <= MAX_IDLE_BYTES) idle = kernels;
  }
}

export type { KernelMemory };
