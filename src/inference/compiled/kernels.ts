/**
 * The kernels in `kernels/compiled/`, where each is described. `deno run -A tools/compiled_kernels.ts` compiles them.
 * Addresses and lengths are bytes in the memory that all instances share.
 */
export interface NetworkKernels {
  readonly heapBase: WebAssembly.Global;
  winogradInput(
    m: number,
    from: number,
    width: number,
    height: number,
    vectors: number,
    dilation: number,
    first: number,
    count: number,
    to: number,
    plane: number,
    depth: number,
    channel: number,
    scratch: number,
  ): void;
  winogradOutput(
    m: number,
    from: number,
    plane: number,
    rowLength: number,
    to: number,
    width: number,
    height: number,
    vectors: number,
    dilation: number,
    first: number,
    count: number,
    bias: number,
    relu: number,
    residual: number,
    scratch: number,
  ): void;
  winogradWeights(
    from: number,
    outputs: number,
    inputs: number,
    firstInput: number,
    channels: number,
    output: number,
    matrix: number,
    size: number,
    to: number,
    depth: number,
    channel: number,
    scratch: number,
  ): void;
  gatherInput(
    kernel: number,
    from: number,
    width: number,
    height: number,
    vectors: number,
    stride: number,
    dilation: number,
    outputWidth: number,
    first: number,
    count: number,
    to: number,
    depth: number,
    value: number,
  ): void;
  gatherOutput(
    from: number,
    rowLength: number,
    to: number,
    vectors: number,
    count: number,
    bias: number,
    relu: number,
    residual: number,
  ): void;
  gatherWeights(
    from: number,
    outputs: number,
    inputs: number,
    firstInput: number,
    channels: number,
    padded: number,
    taps: number,
    output: number,
    to: number,
    depth: number,
    value: number,
  ): void;
  multiply(
    inputs: number,
    inputPlane: number,
    weights: number,
    to: number,
    toPlane: number,
    planes: number,
    groups: number,
    depth: number,
    columns: number,
  ): void;
  interleavePlanes(from: number, plane: number, to: number, count: number): void;
  maxPool(from: number, width: number, height: number, vectors: number, to: number, y: number, end: number): void;
  resize(
    from: number,
    width: number,
    height: number,
    vectors: number,
    to: number,
    outputWidth: number,
    outputHeight: number,
    y: number,
    end: number,
    scratch: number,
  ): void;
  add(a: number, b: number, to: number, length: number): void;
  convolveToMap(
    from: number,
    width: number,
    height: number,
    vectors: number,
    weights: number,
    bias: number,
    to: number,
    y: number,
    end: number,
  ): void;
  mapWeights(from: number, channels: number, padded: number, to: number): void;
  fillMap(to: number, value: number, count: number): void;
  addMap(
    from: number,
    width: number,
    height: number,
    weight: number,
    to: number,
    outputWidth: number,
    outputHeight: number,
    y: number,
    end: number,
    scratch: number,
  ): void;
  sigmoid(at: number, count: number): void;
}

/** One thread's kernels. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): NetworkKernels {
  return new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as NetworkKernels;
}

/** AssemblyScript's own checks call it; the kernels are compiled without them. */
function abort(): never {
  throw new Error("a kernel has aborted");
}
