import { instantiate } from "./kernels.ts";
import { type Layout, layOut } from "./layout.ts";
import type { Plan } from "../model/plan.ts";
import { type Programs, programsOf } from "./program.ts";
import { type Pause, Team } from "./team.ts";
import { weightMatrix } from "./winograd.ts";

/** What a thread needs to take part in a network's runs; can be posted. */
export interface Seat {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly plan: Plan;
  readonly layout: Layout;
  readonly thread: number;
}

/** As in {@link Member}, for tests. */
export interface TeamOptions {
  pause?: Pause;
  stallMs?: number;
}

/** One thread of a network. */
export class NetworkThread {
  readonly #programs: Programs;
  readonly #team: Team;

  constructor({ module, memory, plan, layout, thread }: Seat, { pause, stallMs }: TeamOptions = {}) {
    this.#programs = programsOf(plan, layout, instantiate(module, memory), thread);
    this.#team = new Team({ memory, ...layout, thread, pause, stallMs });
  }

  get programs(): Programs {
    return this.#programs;
  }

  begin(run: number, program: keyof Programs): void {
    this.#team.begin(run, this.#programs[program]);
  }

  /** Whether a thread has taken part in a run. */
  took(thread: number, run: number): boolean {
    return this.#team.took(thread, run);
  }

  /** @throws {Error} as {@link Team.run} does. */
  run(run: number, program: keyof Programs): void {
    this.#team.run(run, this.#programs[program]);
  }
}

/** A thread that has missed as many runs in a row, over at least as long, is gone or hangs. */
const MISSED_RUNS = 3;
const MISSED_MS = 2000;

/** Wakes the other threads for a run; each calls {@link NetworkThread.run}. */
export type Wake = (run: number, program: keyof Programs) => void;

const PAGE = 65_536;

/** A network in memory, seen from the thread that the others work for. */
export class Network {
  readonly seat: Seat;
  readonly plan: Plan;
  readonly #thread: NetworkThread;
  #runs = 0;
  /** By thread, since when and how often in a row it has missed runs. */
  readonly #missed: { runs: number; since: number }[];

  /** @param file the ONNX file that the plan was made of. */
  constructor(module: WebAssembly.Module, plan: Plan, file: Uint8Array, threads: number, options?: TeamOptions) {
    const layout = layOut(plan, file.length, threads, heapBase(module));
    const pages = Math.ceil(layout.bytes / PAGE);
    // All at once: growing a shared memory while threads run can fail or hang in Deno (denoland/deno issue 35658). Pages
    // that nothing touches cost nothing.
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.plan = plan;
    this.seat = { module, memory, plan, layout, thread: 0 };
    this.#thread = new NetworkThread(this.seat, options);
    this.#missed = Array.from({ length: threads }, () => ({ runs: 0, since: 0 }));
    placeConstants(this.seat, file);
  }

  /** Brings the weights into the kernels' order. To be called once, before {@link infer}. */
  prepare(wake: Wake): void {
    this.#run("prepare", wake);
  }

  /**
   * @param planes the input, 1×3×height×width.
   * @returns the output, 1×1×height×width.
   */
  infer(planes: Float32Array, wake: Wake): Float32Array<ArrayBuffer> {
    const { memory, layout, plan } = this.seat;
    new Float32Array(memory.buffer, layout.planes, planes.length).set(planes);
    this.#run("infer", wake);
    const { width, height, at } = plan.tensors[plan.steps.at(-1)!.to];
    return new Float32Array(new Float32Array(memory.buffer, layout.arena + at, width * height));
  }

  get programs(): Programs {
    return this.#thread.programs;
  }

  /** A thread that has taken no part for a while. Runs end without it, but take longer. */
  absentThread(): number | undefined {
    const now = performance.now();
    const absent = this.#missed.findIndex(({ runs, since }) => runs >= MISSED_RUNS && now - since >= MISSED_MS);
    return absent < 0 ? undefined : absent;
  }

  /** Whether a thread has taken part in the last run. */
  attended(thread: number): boolean {
    return this.#thread.took(thread, this.#runs);
  }

  #run(program: keyof Programs, wake: Wake): void {
    const run = ++this.#runs;
    this.#thread.begin(run, program);
    wake(run, program);
    this.#thread.run(run, program);
    for (const [thread, missed] of this.#missed.entries()) {
      const took = this.attended(thread);
      if (missed.runs === 0) missed.since = performance.now();
      missed.runs = took ? 0 : missed.runs + 1;
    }
  }
}

function heapBase(module: WebAssembly.Module): number {
  return instantiate(module, new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })).heapBase.value;
}

/** The model file, the sums of biases, and the matrices that transform weights. */
function placeConstants({ memory, plan, layout }: Seat, file: Uint8Array): void {
  new Uint8Array(memory.buffer, layout.file, file.length).set(file);
  for (const [m, address] of Object.entries(layout.matrices)) {
    const matrix = weightMatrix(Number(m));
    new Float64Array(memory.buffer, address, matrix.length).set(matrix);
  }
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (const [index, step] of plan.steps.entries()) {
    if (step.op !== "conv" && step.op !== "map") continue;
    const { bias } = step.op === "conv" ? layout.convolutions[index] : layout.maps[index];
    const count = step.op === "conv" ? plan.tensors[step.to].channels : 1;
    const sums = new Float32Array(memory.buffer, bias, count);
    for (const at of step.biases) sums.forEach((sum, i) => sums[i] = sum + view.getFloat32(at + 4 * i, true));
  }
}
