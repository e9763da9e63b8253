import { COUNTERS } from "./layout.ts";
import type { Task } from "./program.ts";

/** What a thread of a team is. */
export interface Member {
  readonly memory: WebAssembly.Memory;
  /** Where the team's counters lie, in bytes. */
  readonly counters: number;
  /** Where each thread notes the run that it takes part in, in bytes. */
  readonly attendance: number;
  /** From 0; the thread 0 begins runs and waits for their end. */
  readonly thread: number;
  /** For tests: called before each block is taken, and before one that has been taken is worked at. */
  readonly pause?: Pause;
  /** How long the blocks of one step may stay unfinished, in milliseconds; a block takes a few. */
  readonly stallMs?: number;
}

export type Pause = (moment: "between" | "within") => void;

/** How often a thread looks whether a step is done before it sleeps; about 20 µs. */
const SPINS = 2000;

/** Runs are numbered by 15 bits; the number stands above the 16 bits of a counter that count blocks. */
const RUNS = 0x8000;
const MAX_BLOCKS = 0xffff;

/**
 * One thread's part in a team that runs programs together. Each takes the next block of a step that nobody has taken, and
 * goes on to the next step once all blocks are done, whoever did them: a thread that the machine holds up, or that comes
 * late to a run, delays the others by one block at most. Each counter carries the number of its run, so that a thread that
 * was held up while a run ended takes nothing of the next one by mistake.
 */
export class Team {
  readonly #cells: Int32Array;
  readonly #attendance: Int32Array;
  readonly #thread: number;
  readonly #pause?: Pause;
  readonly #stallMs: number;

  constructor({ memory, counters, attendance, thread, pause, stallMs = 5000 }: Member) {
    this.#cells = new Int32Array(memory.buffer, counters);
    this.#attendance = new Int32Array(memory.buffer, attendance);
    this.#thread = thread;
    this.#pause = pause;
    this.#stallMs = stallMs;
  }

  /** Makes a run's blocks ready to be taken. For thread 0, before it runs them itself and has the others do so. */
  begin(run: number, tasks: readonly Task[]): void {
    const start = tag(run);
    for (const [step, { blocks, name }] of tasks.entries()) {
      if (blocks > MAX_BLOCKS) throw new Error(`${name} has ${blocks} blocks, more than can be counted`);
      Atomics.store(this.#cells, step * COUNTERS, start);
      Atomics.store(this.#cells, step * COUNTERS + 1, start);
    }
  }

  /**
   * Takes part in a run until all its steps are done.
   * @throws {Error} if a thread that has taken a block does not finish it, in thread 0 only: the others leave.
   */
  run(run: number, tasks: readonly Task[]): void {
    Atomics.store(this.#attendance, this.#thread, run);
    for (let step = 0; step < tasks.length; step++) {
      const { blocks, name } = tasks[step];
      for (let block = this.#take(run, step, blocks); block !== undefined; block = this.#take(run, step, blocks)) {
        this.#pause?.("within");
        tasks[step].run(block);
        this.#finish(run, step, blocks);
      }
      const outcome = this.#wait(run, step, blocks);
      if (outcome === "done") continue;
      if (this.#thread === 0) throw new Error(`a thread has not finished its part of ${name}`);
      return;
    }
  }

  /** Whether a thread has taken part in a run. */
  took(thread: number, run: number): boolean {
    return Atomics.load(this.#attendance, thread) === run;
  }

  #take(run: number, step: number, blocks: number): number | undefined {
    this.#pause?.("between");
    const index = step * COUNTERS, start = tag(run);
    let seen = Atomics.load(this.#cells, index);
    while (seen >= start && seen < start + blocks) {
      const found = Atomics.compareExchange(this.#cells, index, seen, seen + 1);
      if (found === seen) return seen - start;
      seen = found;
    }
    return undefined;
  }

  #finish(run: number, step: number, blocks: number): void {
    const index = step * COUNTERS + 1;
    const before = Atomics.add(this.#cells, index, 1);
    if (before + 1 === tag(run) + blocks) Atomics.notify(this.#cells, index);
  }

  /** Waits until a step is done; `left` if another run has begun, or if nothing happens for `stallMs`. */
  #wait(run: number, step: number, blocks: number): "done" | "left" {
    const index = step * COUNTERS + 1, start = tag(run), end = start + blocks;
    for (let spins = 0; spins < SPINS; spins++) {
      if (Atomics.load(this.#cells, index) === end) return "done";
    }
    while (true) {
      const seen = Atomics.load(this.#cells, index);
      if (seen === end) return "done";
      if (seen < start || seen > end) return "left";
      if (Atomics.wait(this.#cells, index, seen, this.#stallMs) === "timed-out") return "left";
    }
  }
}

function tag(run: number): number {
  return (run % RUNS) << 16;
}
